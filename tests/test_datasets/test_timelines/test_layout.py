"""Which clip comes when."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtal_mts.datasets.timelines import Clip, TimelineSettings, plan_timelines


def clip(name, group, actions=((0.0, 1.0, 'run'),), source=(None, None)):
    return Clip(name, f'{name}.mp4', group, tuple(actions), *source)


def order(timeline):
    return [(part.clip.clip_id, part.background_s is not None) for part in timeline]


def test_unordered_clips_are_shuffled_with_background_around_each():
    clips = [clip(f'{g}{i}', g) for g in 'ab' for i in range(6)]
    planned = plan_timelines(clips, TimelineSettings(per_group=3, folds=2))
    assert [t.name for t in planned] == ['a_0', 'a_1', 'a_2', 'b_0', 'b_1', 'b_2']
    assert [t.fold for t in planned] == [0, 0, 0, 1, 1, 1]
    for timeline in planned:
        made = [part.background_s for part in timeline.parts[::2]]
        assert len(made) == 7 and all(1.0 <= length <= 3.0 for length in made)
        shown = [part.clip.clip_id for part in timeline.parts[1::2]]
        assert sorted(shown) == [f'{timeline.group}{i}' for i in range(6)]
    orders = {tuple(order(t.parts[1::2])) for t in planned[:3]}
    assert len(orders) == 3
    again = plan_timelines(clips, TimelineSettings(per_group=3, folds=2))
    assert planned == again


def test_groups_share_the_orders_of_their_labels():
    labels = 'bend', 'jump', 'run', 'walk', 'wave'
    clips = [
        clip(f'{g}_{label}{i}', g, actions=[(0.0, 1.0, label)])
        for g in 'ab'
        for label in labels
        for i in range(1 if (g, label) == ('b', 'run') else 2)
    ]
    wanted = TimelineSettings(per_group=3, folds=2, shared_order=True)
    planned = plan_timelines(clips, wanted)

    def shown(timeline):
        return [part.clip.clip_id[2:] for part in timeline.parts[1::2]]

    def kinds(timeline):
        return list(dict.fromkeys(name[:-1] for name in shown(timeline)))

    first, second = planned[:3], planned[3:]
    for one, other in zip(first, second):
        assert kinds(one) == kinds(other) and sorted(kinds(one)) == sorted(labels)
        assert len(shown(one)) == 10 and len(shown(other)) == 9
    assert len({tuple(kinds(timeline)) for timeline in first}) == 3
    # Gaps and the order of clips with one label are still each timeline's own.
    assert len({timeline.parts[0].background_s for timeline in planned}) == 6
    assert shown(first[0]) != shown(second[0])


def test_a_known_order_is_stronger_than_a_shared_one():
    clips = [
        clip(f'{g}{i}', g, [(0.0, 1.0, label)], source=(100 * i, 100 * i + 50))
        for g, names in dict(a='xyz', b='zyx').items()
        for i, label in enumerate(names)
    ]
    settings = dict(folds=2, made_background=False)
    known = plan_timelines(clips, TimelineSettings(**settings))
    shared = plan_timelines(clips, TimelineSettings(**settings, shared_order=True))
    assert known == shared
    assert [p.clip.clip_id for p in known[0].parts] == ['a0', 'a1', 'a2']


def test_known_order_is_kept_and_overlap_is_shown_once():
    clips = [
        clip('late', 'g', source=(90, 150)),
        clip('early', 'g', source=(0, 100)),
        clip('inside', 'g', source=(20, 80)),
        clip('room1', 'g', actions=()),
        clip('room2', 'g', actions=()),
    ]
    (timeline,) = plan_timelines(clips, TimelineSettings(folds=1, per_group=5))
    shown = [p.clip.clip_id for p in timeline.parts]
    assert [name for name in shown if 'room' not in name] == ['early', 'inside', 'late']
    assert [name for name in shown if 'room' in name] == ['room1', 'room2']
    skipped = {p.clip.clip_id: p.skip_frames for p in timeline.parts}
    assert skipped == dict(early=0, inside=80, late=10, room1=0, room2=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 9))
def test_a_group_is_tested_in_one_fold(num_groups, folds, seed):
    clips = [clip(f'{g}_{i}', str(g)) for g in range(num_groups) for i in range(2)]
    wanted = TimelineSettings(folds=folds, seed=seed, per_group=2)
    if num_groups < folds:
        with pytest.raises(ValueError, match='folds'):
            plan_timelines(clips, wanted)
        return
    planned = plan_timelines(clips, wanted)
    folds_of = {}
    for timeline in planned:
        folds_of.setdefault(timeline.group, set()).add(timeline.fold)
    assert all(len(found) == 1 for found in folds_of.values())
    assert {fold for found in folds_of.values() for fold in found} == set(range(folds))


def test_background_is_made_of_clips_with_the_named_labels():
    still, moving = (0.0, 1.0, 'wave'), (0.0, 1.0, 'walk')
    clips = [clip(f'wave{i}', 'g', [still]) for i in range(4)]
    clips += [clip(f'walk{i}', 'g', [moving]) for i in range(2)]
    wanted = TimelineSettings(folds=1, background_labels=('walk', 'run'))
    (timeline,) = plan_timelines(clips, wanted)
    made = [p.clip.clip_id for p in timeline.parts if p.background_s is not None]
    assert len(made) == 7 and all(name.startswith('walk') for name in made)
    # The nearest one.
    shown = [p.clip.clip_id for p in timeline.parts if p.background_s is None]
    walks = [i for i, name in enumerate(shown) if name.startswith('walk')]
    for place, name in enumerate(made):
        gaps = {shown[i]: abs(i + 0.5 - place) for i in walks}
        assert gaps[name] == min(gaps.values())
    with pytest.raises(ValueError, match='group g has no clip'):
        plan_timelines(clips[:4], wanted)


def test_unplaced_background_does_not_part_what_clips_share():
    clips = [
        clip('a', 'g', source=(0, 100)),
        clip('b', 'g', source=(90, 150)),
        *(clip(f'room{i}', 'g', actions=()) for i in range(20)),
    ]
    for seed in range(5):
        wanted = TimelineSettings(folds=1, seed=seed)
        (timeline,) = plan_timelines(clips, wanted)
        shown = [part.clip.clip_id for part in timeline.parts]
        assert len(shown) == 22 and shown.index('b') == shown.index('a') + 1


def test_bad_settings_and_groups_are_named():
    for name, value in (('size', 31), ('fps', 0), ('gap', (2, 1)), ('folds', 0)):
        with pytest.raises(ValueError, match=name):
            TimelineSettings(**{name: value})
    with pytest.raises(ValueError, match='no clip with an action'):
        plan_timelines([clip('a', 'g', actions=())], TimelineSettings(folds=1))
