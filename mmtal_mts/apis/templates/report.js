'use strict';
const $ = (id) => document.getElementById(id);
const data = JSON.parse($('data').textContent);
const video = $('video');
const { duration } = data;
const state = { off: new Set(), sort: 'start', down: false, time: 0, chosen: null };
const truth = data.truth || [];
for (const action of [...data.detections, ...truth]) Object.assign(action, data.classes[action.label]);
data.detections.forEach((d, rank) => Object.assign(d, { rank, length: d.end - d.start }));

// All text is appended as text: nothing in the data can become markup.
function element(tag, { style = {}, dataset = {}, ...properties } = {}, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  Object.assign(node.dataset, dataset);
  for (const [name, value] of Object.entries(style)) node.style.setProperty(name, value);
  node.append(...children);
  return node;
}

function clock(seconds, digits = 1) {
  const total = Number(seconds.toFixed(digits));
  const [hours, minutes] = [Math.floor(total / 3600), Math.floor(total / 60) % 60];
  const rest = (total % 60).toFixed(digits).padStart(digits ? 3 + digits : 2, '0');
  return hours ? `${hours}:${String(minutes).padStart(2, '0')}:${rest}` : `${minutes}:${rest}`;
}

const share = (time) => `${(100 * time) / duration}%`;
const byStart = (a, b) => a.start - b.start || a.rank - b.rank;
const sought = ({ name }) => name.toLowerCase().includes($('search').value.trim().toLowerCase());
const visible = () => data.detections.filter(
  (d) => d.score >= $('threshold').valueAsNumber && !state.off.has(d.label) && sought(d),
);

// Playing

function showTime() {
  $('cursor').style.left = share(Math.min(state.time, duration));
  const best = new Map();
  for (const d of visible().filter(({ start, end }) => start <= state.time && state.time < end)) {
    if (!best.has(d.label)) best.set(d.label, d);
  }
  $('now')?.replaceChildren(...[...best.values()].slice(0, 6).map(({ name, color, score }) => (
    element('span', { className: 'chip', style: { '--c': color } }, `${name} ${score.toFixed(2)}`)
  )));
}

function seek(time) {
  state.time = Math.min(Math.max(time, 0), duration);
  // The end itself shows no picture in some browsers.
  const shown = Math.min(state.time, Math.max(duration - 0.01, 0));
  if (video?.readyState) video.currentTime = data.first_frame + shown;
  showTime();
}

function choose(detection) {
  state.chosen = detection;
  seek(detection.start);
  draw();
}

// Where the sound begins before the pictures, the player's clock does too.
function follow(last) {
  const { currentTime, paused } = video;
  if (currentTime !== last) {
    state.time = Math.max(currentTime - data.first_frame, 0);
    showTime();
    const [scroller, left] = [$('scroller'), $('cursor').offsetLeft - $('scroller').scrollLeft];
    if (!paused && (left < 0 || left > scroller.clientWidth)) scroller.scrollLeft += left - scroller.clientWidth / 8;
  }
  requestAnimationFrame(() => follow(currentTime));
}

// Timeline

const mark = (d) => (d === state.chosen ? 'on' : '');

function bar(d, kind, title, act, style, dataset) {
  const place = { left: share(d.start), width: share(Math.max(d.end - d.start, 0)) };
  return element('div', {
    className: `bar ${kind}`,
    title: `${title}, ${clock(d.start)} – ${clock(d.end)}`,
    onclick: (event) => { event.stopPropagation(); act(d); },
    style: { ...place, ...style },
    dataset,
  });
}

// Returns the name and the row of a class.
function drawClass(label, name, color, found, known) {
  const ends = [];
  const lanes = found.sort((a, b) => a.start - b.start || b.score - a.score).map((d) => {
    const free = ends.findIndex((end) => end <= d.start);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = d.end;
    return lane;
  });
  // Many overlapping detections share the height of a few.
  const isThin = ends.length > 6;
  const [step, top] = [isThin ? 5 : 14, known.length ? 19 : 6];
  const height = `${step - (isThin ? 1 : 2)}px`;
  const bars = [
    ...known.map((t) => bar(t, 'truth', `ground truth: ${name}`, () => seek(t.start), { top: '6px' })),
    ...found.map((d, index) => {
      const style = { height, top: `${top + lanes[index] * step}px`, opacity: 0.3 + 0.7 * d.score };
      return bar(d, mark(d), `${name} ${d.score.toFixed(2)}`, choose, style, { rank: d.rank });
    }),
  ];
  const style = { '--c': color, height: `${Math.max(top + ends.length * step + 6, 30)}px` };
  const isOff = state.off.has(label);
  const button = element('button', {
    type: 'button', className: 'name', style, title: `${name}: click to hide or show`, ariaPressed: String(!isOff),
    onclick: () => { state.off[isOff ? 'delete' : 'add'](label); draw(); },
  }, element('i'), element('span', {}, name), element('b', {}, found.length));
  return [button, element('div', { className: isThin ? 'row thin' : 'row', style }, ...bars)];
}

function drawTimeline() {
  const shown = visible();
  const parts = [];
  for (const [key, { name, color }] of Object.entries(data.classes)) {
    const label = Number(key);
    const [found, known] = [shown, truth].map((actions) => actions.filter((a) => a.label === label));
    if (sought({ name }) && (state.off.has(label) || found.length || known.length)) {
      parts.push(drawClass(label, name, color, found, known));
    }
  }
  const title = element('div', { className: 'axis-label' }, data.truth ? 'hatched: truth' : 'action');
  $('legend').replaceChildren(title, ...parts.map(([button]) => button));
  $('rows').replaceChildren($('axis'), ...parts.map(([, row]) => row), $('cursor'));
}

function drawAxis() {
  const width = $('rows').clientWidth || 600;
  const steps = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200];
  const step = steps.find((s) => (s / duration) * width >= 64) || 14400;
  // The last label would be cut off at the edge.
  const count = Math.min(Math.ceil(duration / step - 0.02), 500);
  $('axis').replaceChildren(...Array.from({ length: count }, (_, index) => {
    const time = index * step;
    const hasRoom = ((duration - time) / duration) * width > 40;
    const text = hasRoom ? [element('span', {}, clock(time, step < 1 ? 1 : 0))] : [];
    return element('div', { className: 'tick', style: { left: share(time) } }, ...text);
  }));
}

// Table: key of a detection, title, class and content of each column.

const columns = [
  ['thumbs', '', 'pictures', (d) => d.thumbs.filter((i) => data.pictures[i]).map(
    (i) => element('img', { alt: '', loading: 'lazy', src: data.pictures[i] }),
  )],
  ['name', 'action', '', ({ name, color }) => [
    element('button', { type: 'button', className: 'play', title: 'play from its start', style: { '--c': color } }, name),
  ]],
  ['start', 'start', 'number', (d) => [clock(d.start)]],
  ['end', 'end', 'number', (d) => [clock(d.end)]],
  ['length', 'length', 'number wide', (d) => [`${d.length.toFixed(1)} s`]],
  ['score', 'score', 'number', ({ score }) => [
    element('span', { className: 'meter' }, element('i', { style: { width: `${100 * score}%` } })), score.toFixed(2),
  ]],
];
if (data.truth) {
  columns.push(['tiou', 'tIoU', 'number wide', ({ tiou }) => [
    element('span', { className: tiou >= data.match ? 'hit' : 'miss' }, tiou.toFixed(2)),
  ]]);
}

function drawTable() {
  $('head').replaceChildren(...columns.map(([key, title, className]) => {
    const isSorted = state.sort === key;
    const onclick = () => {
      state.down = isSorted ? !state.down : key === 'score' || key === 'tiou';
      state.sort = key;
      draw();
    };
    const arrow = isSorted ? [' ↑', ' ↓'][Number(state.down)] : '';
    const button = element('button', { type: 'button', onclick }, title + arrow);
    const head = element('th', { className }, ...(title ? [button] : []));
    if (isSorted) head.ariaSort = state.down ? 'descending' : 'ascending';
    return head;
  }));
  const sign = state.down ? -1 : 1;
  const shown = visible().sort((a, b) => {
    const [x, y] = [a[state.sort], b[state.sort]];
    return sign * (x < y ? -1 : x > y ? 1 : 0) || byStart(a, b);
  });
  $('body').replaceChildren(...shown.map((d) => {
    const parts = columns.map(([, , className, cell]) => element('td', { className }, ...cell(d)));
    const onclick = () => { choose(d); play(); };
    return element('tr', { className: mark(d), onclick, dataset: { rank: d.rank } }, ...parts);
  }));
  $('empty').hidden = shown.length > 0;
}

function drawSummary() {
  const shown = visible();
  const parts = [clock(duration), `${shown.length} of ${data.detections.length} detections`];
  if (data.truth) {
    const met = data.hits.filter((ranks) => shown.some((d) => ranks.includes(d.rank))).length;
    parts.push(`${met} of ${truth.length} annotated actions found at tIoU ≥ ${data.match}`);
  }
  $('summary').textContent = parts.join(' · ');
  $('threshold-value').textContent = $('threshold').valueAsNumber.toFixed(2);
}

function draw() {
  drawTimeline();
  drawTable();
  drawSummary();
  showTime();
}

// What a person does

function setZoom() {
  $('rows').style.width = `${100 * 2 ** $('zoom').valueAsNumber}%`;
  drawAxis();
  $('scroller').scrollLeft = $('cursor').offsetLeft - $('scroller').clientWidth / 2;
}

function step(direction) {
  const shown = visible().sort(byStart);
  const at = shown.indexOf(state.chosen);
  let next = shown[at + direction];
  if (at < 0 || Math.abs(state.chosen.start - state.time) >= 0.3) {
    const ahead = shown.filter((d) => direction * (d.start - state.time) > 0);
    next = ahead.at(direction > 0 ? 0 : -1);
  }
  if (next) choose(next);
}

const play = () => video?.play().catch(() => {});
const keys = {
  ' ': () => (video?.paused ? play() : video?.pause()),
  ArrowLeft: (event) => seek(state.time - (event.shiftKey ? 10 : 1)),
  ArrowRight: (event) => seek(state.time + (event.shiftKey ? 10 : 1)),
  ',': () => seek(state.time - 0.1),
  '.': () => seek(state.time + 0.1),
  n: () => step(1),
  p: () => step(-1),
  '[': () => { $('threshold').stepDown(5); draw(); },
  ']': () => { $('threshold').stepUp(5); draw(); },
  '/': () => $('search').focus(),
};
document.addEventListener('keydown', (event) => {
  const { key, target } = event;
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (target.id === 'search') {
    if (key === 'Escape') { target.value = ''; target.blur(); draw(); }
    return;
  }
  if (!keys[key] || (key.startsWith('Arrow') && target.type === 'range')) return;
  if (key === ' ' && target.closest('button, summary')) return;
  event.preventDefault();
  keys[key](event);
});
for (const id of ['threshold', 'search']) $(id).addEventListener('input', draw);
$('zoom').addEventListener('input', setZoom);
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
  video.addEventListener('error', () => { $('unplayable').hidden = false; });
  follow(0);
}
draw();
drawAxis();
