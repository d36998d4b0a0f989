"""From time stamps to exact times."""

from __future__ import annotations

from fractions import Fraction

# No picture stays for an hour, and frames are not far out of order.
_MAX_GAP_S, _MAX_STEP_BACK_S = 3600, 10


class FrameClock:
    """Turns time stamps into exact times since the first frame.

    At a constant frame rate, time stamps are rounded to the container's tick. As
    long as they agree with the rate, the exact time ``index / rate`` is taken, so
    that frames are sampled as :func:`.source_frame_indices` does. From the first
    time stamp that disagrees on, the time stamps alone count.

    Args:
        rate (Fraction, optional): Average frame rate, None if unknown.
        tick (Fraction, optional): Seconds per unit of the time stamps.
    """

    def __init__(self, rate: Fraction | None, tick: Fraction | None) -> None:
        self.rate = rate
        self.tick = tick
        self.regular = rate is not None
        self._index = -1
        self._start: int | None = None
        self._last = Fraction(0)

    def __call__(self, pts: int | None) -> Fraction:
        """Returns the time of the next frame in presentation order.

        Args:
            pts (int, optional): Its time stamp.

        Returns:
            Fraction: Seconds since the first frame, never less than before.

        Raises:
            ValueError: If neither a time stamp nor the rate is known.
        """
        self._index += 1
        if pts is None or self.tick is None:
            if self.rate is None:
                raise ValueError('neither time stamps nor a frame rate')
            step = 0 if self._index == 0 else 1 / self.rate
            self._last = self._index / self.rate if self.regular else self._last + step
            return self._last
        if self._start is None:
            self._start = pts - round(self._last / self.tick)
        time = (pts - self._start) * self.tick
        if not -_MAX_STEP_BACK_S <= time - self._last <= _MAX_GAP_S:
            # A counter that wrapped or began anew: go on from the frame before.
            step = 1 / self.rate if self.rate else self.tick
            self._start = pts - round((self._last + step) / self.tick)
            time = (pts - self._start) * self.tick
        if self.regular:
            exact = self._index / self.rate
            self.regular = abs(time - exact) <= self.tick
            time = exact if self.regular else time
        self._last = max(time, self._last)
        return self._last
