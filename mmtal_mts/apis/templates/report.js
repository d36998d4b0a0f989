'use strict';
const data = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);
const video = $('video');
const { duration } = data;
const state = {
  threshold: data.threshold, query: '', off: new Set(), sort: 'start', down: false, time: 0, chosen: null,
};
data.detections.forEach((d, i) => { d.rank = i; });

// All text goes through textContent: nothing in the data can become markup.
function element(tag, className = '', text = '', properties = {}, children = []) {
  const node = Object.assign(document.createElement(tag), { className, textContent: text }, properties);
  node.append(...children);
  return node;
}

// An element in the colour of a class.
function colored(label, ...rest) {
  const node = element(...rest);
  node.style.setProperty('--c', data.classes[label].color);
  return node;
}

function clock(seconds, digits = 1) {
  const unit = 10 ** digits;
  const total = Math.round(seconds * unit) / unit;
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor(total / 60) % 60;
  const rest = (total % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, '0');
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

const share = (time) => `${(100 * time) / duration}%`;
const byStart = (a, b) => a.start - b.start || a.rank - b.rank;
const sought = (label) => data.classes[label].name.toLowerCase().includes(state.query.toLowerCase());
const visible = () => data.detections.filter(
  (d) => d.score >= state.threshold && !state.off.has(d.label) && sought(d.label),
);

// Playing

function seek(time, play) {
  state.time = Math.min(Math.max(time, 0), duration);
  if (video && video.readyState) {
    // The end itself shows no picture in some browsers.
    video.currentTime = data.first_frame + Math.min(state.time, Math.max(duration - 0.01, 0));
    if (play) video.play().catch(() => {});
  }
  showTime();
}

function choose(detection, play) {
  state.chosen = detection;
  seek(detection.start, play);
  document.querySelectorAll('.on').forEach((node) => node.classList.remove('on'));
  document.querySelectorAll(`[data-rank="${detection.rank}"]`).forEach((node) => node.classList.add('on'));
}

function readTime() {
  // Where the sound begins before the pictures, the player's clock does too.
  state.time = Math.max(video.currentTime - data.first_frame, 0);
  showTime();
}

function showTime() {
  $('cursor').style.left = share(Math.min(state.time, duration));
  if (!$('now')) return;
  const best = new Map();
  for (const d of visible()) {
    if (d.start <= state.time && state.time < d.end && !best.has(d.label)) best.set(d.label, d);
  }
  $('now').replaceChildren(...[...best.values()].slice(0, 6).map(
    (d) => colored(d.label, 'span', 'chip', `${data.classes[d.label].name} ${d.score.toFixed(2)}`),
  ));
}

function follow() {
  if (!video.paused) {
    readTime();
    const [scroller, left] = [$('scroller'), $('cursor').offsetLeft];
    if (left < scroller.scrollLeft || left > scroller.scrollLeft + scroller.clientWidth) {
      scroller.scrollLeft = left - scroller.clientWidth / 8;
    }
  }
  requestAnimationFrame(follow);
}

// Timeline

const LANE = 14;
const THIN = 5;

function lanes(segments) {
  const ends = [];
  return segments.sort((a, b) => a.start - b.start || b.score - a.score).map((d) => {
    let lane = ends.findIndex((end) => end <= d.start);
    if (lane < 0) lane = ends.push(0) - 1;
    ends[lane] = d.end;
    return [d, lane];
  });
}

function bar(d, className, title, top, act) {
  const node = element('div', className, '', {
    title: `${title}, ${clock(d.start)} – ${clock(d.end)}`,
    onclick: (event) => { event.stopPropagation(); act(); },
  });
  Object.assign(node.style, { left: share(d.start), width: share(Math.max(d.end - d.start, 0)), top: `${top}px` });
  return node;
}

function nameButton(label, count, height) {
  const { name } = data.classes[label];
  const off = state.off.has(label);
  const parts = [element('i'), element('span', '', name), element('b', '', count)];
  const button = colored(label, 'button', 'name', '', {
    type: 'button',
    title: `${name}: click to hide or show`,
    onclick: () => { state.off[off ? 'delete' : 'add'](label); draw(); },
  }, parts);
  button.style.height = `${height}px`;
  button.setAttribute('aria-pressed', String(!off));
  return button;
}

function drawTimeline() {
  const shown = visible();
  const legend = [element('div', 'axis-label', data.truth ? 'hatched: truth' : 'action')];
  const rows = [$('axis')];
  for (const label of Object.keys(data.classes).map(Number).filter(sought)) {
    const { name } = data.classes[label];
    const truth = (data.truth || []).filter((t) => t.label === label);
    const found = lanes(shown.filter((d) => d.label === label));
    if (!state.off.has(label) && !found.length && !truth.length) continue;
    const count = found.reduce((most, [, lane]) => Math.max(most, lane + 1), 0);
    // Many overlapping detections share the height of a few.
    const thin = count > 6;
    const step = thin ? THIN : LANE;
    const bars = truth.map((t) => bar(t, 'bar truth', `ground truth: ${name}`, 6, () => seek(t.start)));
    const top = truth.length ? 19 : 6;
    for (const [d, lane] of found) {
      const className = d === state.chosen ? 'bar on' : 'bar';
      const node = bar(d, className, `${name} ${d.score.toFixed(2)}`, top + lane * step, () => choose(d));
      Object.assign(node.style, { height: `${step - (thin ? 1 : 2)}px`, opacity: 0.3 + 0.7 * d.score });
      node.dataset.rank = d.rank;
      bars.push(node);
    }
    const height = Math.max(top + count * step + 6, 30);
    const row = colored(label, 'div', thin ? 'row thin' : 'row', '', {}, bars);
    row.style.height = `${height}px`;
    rows.push(row);
    legend.push(nameButton(label, found.length, height));
  }
  const cursor = $('cursor') || element('div', '', '', { id: 'cursor' });
  $('legend').replaceChildren(...legend);
  $('rows').replaceChildren(...rows, cursor);
}

function drawAxis() {
  const width = $('rows').clientWidth || 600;
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const step = steps.find((s) => (s / duration) * width >= 64) || 14400;
  const ticks = [];
  // The last label would be cut off at the edge.
  for (let i = 0; i * step < duration - 0.02 * step && ticks.length < 500; i += 1) {
    const tick = element('div', 'tick');
    tick.style.left = share(i * step);
    if (((duration - i * step) / duration) * width > 40) {
      tick.append(element('span', '', clock(i * step, step < 1 ? 1 : 0)));
    }
    ticks.push(tick);
  }
  $('axis').replaceChildren(...ticks);
}

// Table

const columns = [
  ['thumbs', '', 'pictures'], ['label', 'action', ''], ['start', 'start', 'number'], ['end', 'end', 'number'],
  ['length', 'length', 'number wide'], ['score', 'score', 'number'],
];
if (data.truth) columns.push(['tiou', 'tIoU', 'number wide']);

function value(d, key) {
  if (key === 'label') return data.classes[d.label].name;
  return key === 'length' ? d.end - d.start : d[key];
}

function drawHead() {
  $('head').replaceChildren(...columns.map(([key, title, className]) => {
    const head = element('th', className);
    if (!title) return head;
    let mark = '';
    if (state.sort === key) {
      mark = state.down ? ' ↓' : ' ↑';
      head.setAttribute('aria-sort', state.down ? 'descending' : 'ascending');
    }
    const onclick = () => {
      state.down = state.sort === key ? !state.down : key === 'score' || key === 'tiou';
      state.sort = key;
      draw();
    };
    head.append(element('button', '', title + mark, { type: 'button', onclick }));
    return head;
  }));
}

// What stands in a cell of each column.
const cells = {
  label: (d) => [colored(d.label, 'button', 'play', data.classes[d.label].name, {
    type: 'button', title: 'play from its start',
  })],
  thumbs: (d) => (d.thumbs || []).map((index) => data.pictures[index]).filter(Boolean).map(
    (src) => element('img', '', '', { alt: '', loading: 'lazy', src }),
  ),
  score(d) {
    const fill = element('i');
    fill.style.width = `${100 * d.score}%`;
    return [element('span', 'meter', '', {}, [fill]), d.score.toFixed(2)];
  },
  tiou: (d) => [element('span', d.tiou >= data.match ? 'hit' : 'miss', d.tiou.toFixed(2))],
  length: (d) => [`${(d.end - d.start).toFixed(1)} s`],
  start: (d) => [clock(d.start)],
  end: (d) => [clock(d.end)],
};

function drawTable() {
  const sign = state.down ? -1 : 1;
  const shown = visible().sort((a, b) => {
    const [x, y] = [value(a, state.sort), value(b, state.sort)];
    return sign * (x < y ? -1 : x > y ? 1 : 0) || byStart(a, b);
  });
  $('body').replaceChildren(...shown.map((d) => {
    const parts = columns.map(([key, , className]) => element('td', className, '', {}, cells[key](d)));
    const row = element('tr', d === state.chosen ? 'on' : '', '', { onclick: () => choose(d, true) }, parts);
    row.dataset.rank = d.rank;
    return row;
  }));
  $('empty').hidden = shown.length > 0;
}

function drawSummary() {
  const shown = visible();
  const parts = [clock(duration), `${shown.length} of ${data.detections.length} detections`];
  if (data.truth) {
    const met = data.truth.filter((t) => shown.some((d) => {
      const both = Math.min(d.end, t.end) - Math.max(d.start, t.start);
      const all = Math.max(d.end, t.end) - Math.min(d.start, t.start);
      return d.label === t.label && both / all >= data.match;
    })).length;
    parts.push(`${met} of ${data.truth.length} annotated actions found at tIoU ≥ ${data.match}`);
  }
  $('summary').textContent = parts.join(' · ');
  $('threshold-value').textContent = state.threshold.toFixed(2);
}

function draw() {
  drawTimeline();
  drawHead();
  drawTable();
  drawSummary();
  showTime();
}

// What a person does

function setThreshold(threshold) {
  state.threshold = Math.round(100 * Math.min(Math.max(threshold, 0), 1)) / 100;
  $('threshold').value = state.threshold;
  draw();
}

function setZoom() {
  const [scroller, rows] = [$('scroller'), $('rows')];
  const middle = $('cursor').offsetLeft / rows.clientWidth;
  rows.style.width = `${100 * 2 ** Number($('zoom').value)}%`;
  drawAxis();
  scroller.scrollLeft = middle * rows.clientWidth - scroller.clientWidth / 2;
}

function step(direction) {
  const shown = visible().sort(byStart);
  const at = shown.indexOf(state.chosen);
  let next;
  if (at >= 0 && Math.abs(state.chosen.start - state.time) < 0.3) next = shown[at + direction];
  else if (direction > 0) next = shown.find((d) => d.start > state.time);
  else next = shown.filter((d) => d.start < state.time).pop();
  if (next) choose(next);
}

const keys = {
  ' ': () => { if (video) { if (video.paused) video.play().catch(() => {}); else video.pause(); } },
  ArrowLeft: (e) => seek(state.time - (e.shiftKey ? 10 : 1)),
  ArrowRight: (e) => seek(state.time + (e.shiftKey ? 10 : 1)),
  ',': () => seek(state.time - 0.1),
  '.': () => seek(state.time + 0.1),
  n: () => step(1),
  p: () => step(-1),
  '[': () => setThreshold(state.threshold - 0.05),
  ']': () => setThreshold(state.threshold + 0.05),
  '/': () => $('search').focus(),
};
document.addEventListener('keydown', (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.id === 'search') {
    if (key === 'Escape') { target.value = state.query = ''; target.blur(); draw(); }
    return;
  }
  if (!keys[key] || (key.startsWith('Arrow') && target.type === 'range')) return;
  if (key === ' ' && target.closest('button, summary')) return;
  event.preventDefault();
  keys[key](event);
});
$('threshold').addEventListener('input', (event) => setThreshold(Number(event.target.value)));
$('zoom').addEventListener('input', setZoom);
$('search').addEventListener('input', (event) => { state.query = event.target.value.trim(); draw(); });
$('rows').addEventListener('click', (event) => {
  const box = $('rows').getBoundingClientRect();
  seek(((event.clientX - box.left) / box.width) * duration);
});
window.addEventListener('resize', drawAxis);

if (video) {
  const embedded = $('embedded');
  if (embedded) {
    const bytes = Uint8Array.from(atob(embedded.textContent), (c) => c.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: 'video/mp4' }));
  }
  for (const name of ['seeked', 'timeupdate', 'pause']) video.addEventListener(name, readTime);
  video.addEventListener('error', () => { $('unplayable').hidden = false; });
  requestAnimationFrame(follow);
}
$('threshold').value = state.threshold;
draw();
drawAxis();
