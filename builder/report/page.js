'use strict';
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
const text = i => data.texts[i || 0];
const byId = id => document.getElementById(id);
const labelWidth = () => chart.querySelector('.label').offsetWidth;
const chart = byId('chart'), scroll = byId('scroll'), panel = byId('panel'), tip = byId('tip'), filter = byId('filter');
const besideName = 'BuildKit'; // the lane of what belongs to no stage
const classNames = { native: 'native', assisted: 'assisted', emulated: 'emulated', files: 'files and images', cached: 'cached', failed: 'failed', canceled: 'stopped' };
const lanes = []; // [{bars: [element]}], from top to bottom
let zoom = 1, chosen = -1, only = '';

// make creates an element. What is in a build becomes text, never HTML.
function make(tag, className, content) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (content !== undefined) e.textContent = content;
  return e;
}

function duration(ms) {
  if (ms <= 0) return '0s';
  if (ms < 10) return '<0.01s';
  if (ms < 1000) return (ms / 1000).toFixed(2) + 's';
  if (ms < 59950) return (ms / 1000).toFixed(1) + 's';
  const two = n => String(n).padStart(2, '0');
  const s = Math.round(ms / 1000);
  if (s < 3600) return Math.floor(s / 60) + 'm ' + two(s % 60) + 's';
  const m = Math.round(s / 60);
  return Math.floor(m / 60) + 'h ' + two(m % 60) + 'm';
}

const stageName = step => text(data.stages[step.s]) || besideName;
const platformName = i => text(data.platforms[i].n);
const command = step => text(step.c) || text(step.n);
const kindOf = step => classNames[step.k] + (step.st && step.k !== step.st ? ', ' + step.st : '');

// times are the ones of the axis: as many as there is room for.
function ticks() {
  const axis = chart.querySelector('.axis .track'), grid = chart.querySelector('.grid');
  axis.replaceChildren();
  grid.replaceChildren();
  const most = Math.max(axis.clientWidth / 90, 1);
  const units = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 432e5, 864e5];
  const unit = units.find(u => data.end / u <= most) || data.end;
  for (let t = 0; t <= data.end; t += unit) {
    const label = t === 0 ? '0' : unit < 1000 ? (t / 1000).toFixed(unit < 10 ? 3 : unit < 100 ? 2 : 1) + 's' : t < 6e4 ? t / 1000 + 's' : duration(t).replace(' 00s', '').replace(' 00m', '');
    const tick = make('div', 'tick', label), line = make('div');
    tick.style.left = line.style.left = 100 * t / data.end + '%';
    grid.append(line);
    if ((1 - t / data.end) * axis.clientWidth > 40) axis.append(tick);
  }
}

function row(className, label) {
  const r = make('div', 'row ' + className), l = make('div', 'label', label), t = make('div', 'track');
  if (label) l.title = label;
  r.append(l, t);
  return { row: r, label: l, track: t };
}

// pack puts what overlaps in time below each other, and steps of the same moment, which
// are drawn wider than they are.
function pack(items) {
  const rows = [], moment = data.end * 0.002;
  items.sort((a, b) => a.from - b.from || b.to - a.to || a.step - b.step);
  for (const item of items) {
    const short = item.to - item.from < moment;
    item.at = rows.findIndex(r => r.end <= item.from && (!short || r.short <= item.from));
    if (item.at < 0) item.at = rows.push({}) - 1;
    rows[item.at] = { end: item.to, short: short ? item.from + moment : 0 };
    item.short = short;
  }
  return rows.length;
}

function bar(item, platform, height) {
  const step = data.steps[item.step], b = make('button', step.k);
  b.type = 'button';
  b.tabIndex = -1;
  b.dataset.step = item.step;
  b.style.left = 100 * item.from / data.end + '%';
  b.style.width = 100 * (item.to - item.from) / data.end + '%';
  b.style.top = item.at * height + (height > 12 ? 2 : 1) + 'px';
  if (height < 12) b.style.height = height - 1 + 'px';
  if (step.p.length > 1) b.classList.add('shared');
  if (step.cr) b.classList.add('critical');
  if (item.short) b.classList.add('short');
  b.append(make('span', '', text(step.n)));
  b.setAttribute('aria-label', [text(step.n), stageName(step), platformName(platform), kindOf(step), duration(step.d || 0)].join(', ') + (step.cr ? ', on the critical path' : ''));
  return b;
}

function drawLane(items, platform, group, label, height) {
  const rows = pack(items), lane = row('lane', label);
  lane.track.style.height = rows * height + 4 + 'px';
  const bars = items.map(item => bar(item, platform, height));
  lane.track.append(...bars);
  lanes.push({ bars, element: lane.row });
  group.append(lane.row);
}

function drawPlatform(p) {
  const group = make('div', 'group'), head = row('platform', ''), job = data.platforms[p];
  const fold = make('button', '', '▾ ' + text(job.n));
  fold.type = 'button';
  fold.title = 'Fold ' + text(job.n);
  fold.setAttribute('aria-expanded', 'true');
  head.label.append(fold);
  if (job.v[1] > 0) {
    const line = make('div', 'job' + (job.f ? ' failed' : '')), took = make('div', 'took', duration(job.v[1] - job.v[0]));
    line.style.left = 100 * job.v[0] / data.end + '%';
    line.style.width = 100 * (job.v[1] - job.v[0]) / data.end + '%';
    took.style.left = 100 * job.v[0] / data.end + '%';
    head.track.append(line, took);
  }
  group.append(head.row);
  const open = make('div'), folded = make('div', 'folded');
  const all = [];
  data.stages.forEach((_, s) => {
    const items = [];
    data.steps.forEach((step, i) => {
      if (step.s !== s || !step.p.includes(p)) return;
      for (const v of step.v || []) items.push({ step: i, from: v[0], to: v[1] });
    });
    if (items.length === 0) return;
    all.push(...items.map(i => ({ ...i })));
    drawLane(items, p, open, text(data.stages[s]) || besideName, 22);
  });
  if (all.length) drawLane(all, p, folded, '', 8);
  folded.hidden = true;
  group.append(open, folded);
  fold.addEventListener('click', () => setFold(group, !open.hidden));
  chart.append(group);
}

function setFold(group, closed) {
  const button = group.querySelector('.platform button');
  group.children[1].hidden = closed;
  group.children[2].hidden = !closed;
  button.setAttribute('aria-expanded', String(!closed));
  button.textContent = (closed ? '▸' : '▾') + button.textContent.slice(1);
}

function drawLegend() {
  for (const name of Object.keys(classNames)) {
    if (!data.classes[name]) continue;
    const b = make('button');
    b.type = 'button';
    b.append(make('span', 'dot ' + name), classNames[name] + ' ' + data.classes[name]);
    b.setAttribute('aria-pressed', 'false');
    b.addEventListener('click', () => {
      only = only === name ? '' : name;
      for (const other of byId('legend').querySelectorAll('button')) other.setAttribute('aria-pressed', String(other === b && only !== ''));
      sift();
    });
    byId('legend').append(b);
  }
  if (data.steps.some(s => s.cr)) {
    const frame = make('span', 'frame');
    frame.append(make('span', 'dot'), 'critical path');
    byId('legend').append(frame);
  }
}

// sift dims what the filter and the legend leave out.
function sift() {
  const wanted = filter.value.trim().toLowerCase();
  const matches = data.steps.map(s => (!only || s.k === only) &&
    (!wanted || [command(s), text(s.n), stageName(s), ...s.p.map(platformName), 'l' + s.l].some(t => t.toLowerCase().includes(wanted))));
  for (const lane of lanes) for (const b of lane.bars) b.classList.toggle('off', !matches[b.dataset.step]);
  for (const r of document.querySelectorAll('#table tbody tr')) r.hidden = !matches[r.dataset.row];
}

// setZoom keeps the time at a place of the window where it is.
function setZoom(to, x = scroll.clientWidth / 2) {
  const label = labelWidth(), before = chart.clientWidth - label;
  const part = (scroll.scrollLeft + x - label) / before;
  zoom = Math.min(Math.max(to, 1), Math.max(400, data.end / 100));
  chart.style.width = zoom === 1 ? '' : label + (scroll.clientWidth - label) * zoom + 'px';
  scroll.scrollLeft = part * (chart.clientWidth - label) - x + label;
  ticks();
}

function drag(down) {
  const track = down.target.closest('.track');
  if (down.button !== 0 || !track || down.target.closest('button')) return;
  const box = track.getBoundingClientRect(), mark = make('div', 'selection');
  const part = e => Math.min(Math.max((e.clientX - box.left) / box.width, 0), 1), from = part(down);
  let to = from;
  track.append(mark);
  const move = e => {
    to = part(e);
    mark.style.left = 100 * Math.min(from, to) + '%';
    mark.style.width = 100 * Math.abs(to - from) + '%';
  };
  const up = () => {
    document.removeEventListener('pointermove', move);
    mark.remove();
    if (Math.abs(to - from) * box.width < 6) return;
    setZoom(1 / Math.abs(to - from));
    scroll.scrollLeft = Math.min(from, to) * (chart.clientWidth - labelWidth());
  };
  document.addEventListener('pointermove', move);
  document.addEventListener('pointerup', up, { once: true });
  down.preventDefault();
}

function showTip(e) {
  const b = e.target.closest && e.target.closest('.track > button');
  tip.hidden = !b;
  if (!b) return;
  const step = data.steps[b.dataset.step];
  const facts = [duration(step.d || 0), kindOf(step)];
  if (step.p.length > 1) facts.push('shared by ' + step.p.length + ' platforms');
  if (step.cr) facts.push('critical path');
  tip.replaceChildren(make('b', '', command(step)), make('span', '', facts.join(' · ')));
  const box = tip.getBoundingClientRect();
  tip.style.left = Math.max(Math.min(e.clientX + 14, innerWidth - box.width - 8), 8) + 'px';
  tip.style.top = (e.clientY + 20 + box.height > innerHeight ? e.clientY - box.height - 12 : e.clientY + 20) + 'px';
}

function stepLink(i) {
  const b = make('button', 'link', text(data.steps[i].n));
  b.type = 'button';
  b.dataset.step = i;
  return b;
}

function choose(i) {
  const step = data.steps[i];
  if (!step) return;
  chosen = i;
  for (const lane of lanes) for (const b of lane.bars) b.classList.toggle('on', Number(b.dataset.step) === i);
  const head = make('div', 'head'), close = make('button', 'close', 'Close');
  close.type = 'button';
  close.title = 'Close (Esc)';
  close.addEventListener('click', dismiss);
  head.append(make('span', 'dot ' + step.k), make('h2', '', text(step.n)), close);
  const table = make('table'), body = table.createTBody();
  const fact = (name, ...values) => {
    if (values.length === 0 || values[0] === '') return;
    const r = body.insertRow(), th = make('th', '', name), td = make('td');
    th.scope = 'row';
    td.append(...values);
    r.append(th, td);
  };
  fact('State', kindOf(step) + (step.cr ? ', on the critical path' : ''));
  fact('Duration', step.k === 'cached' ? 'taken from the cache' : duration(step.d || 0));
  if (step.v) fact('Started', 'after ' + duration(step.v[0][0]) + (step.v.length > 1 ? ', worked in ' + step.v.length + ' intervals' : ''));
  fact('Stage', stageName(step) + (step.l ? ', line ' + step.l : ''));
  fact(step.p.length > 1 ? 'Shared by' : 'Platform', step.p.map(platformName).join(', '));
  fact('Runs on', text(step.x));
  fact('Note', text(step.h));
  fact('QEMU', text(step.w));
  fact('After', ...(step.i || []).map(stepLink));
  fact('Before', ...data.steps.flatMap((s, k) => (s.i || []).includes(i) ? [stepLink(k)] : []));
  const side = make('div', 'side'), out = make('div', 'out');
  side.append(make('pre', 'command', command(step)), table);
  if (step.e) out.append(make('pre', 'error', text(step.e)));
  if (step.o) out.append(make('p', 'dim', step.o + ' lines of output before are left out.'));
  out.append(make('pre', 'log', step.g ? text(step.g) : 'No output is kept.'));
  out.lastChild.tabIndex = 0;
  panel.replaceChildren(head, side, out);
  panel.hidden = false;
  document.body.classList.add('open');
  out.lastChild.scrollTop = out.lastChild.scrollHeight;
  try { history.replaceState(null, '', '#step=' + i); } catch { /* a sandbox without an address */ }
}

function dismiss() {
  panel.hidden = true;
  document.body.classList.remove('open');
  for (const b of chart.querySelectorAll('.on')) b.classList.remove('on');
  const bar = visibleBar(chosen);
  if (bar) bar.focus({ preventScroll: true });
  chosen = -1;
  try { history.replaceState(null, '', location.pathname + location.search); } catch { /* as above */ }
}

const shown = lane => lane.element.offsetParent !== null;
const visibleBar = i => lanes.filter(shown).flatMap(l => l.bars).find(b => Number(b.dataset.step) === i);

// focusBar makes a bar the one that Tab comes to.
function focusBar(b) {
  for (const other of chart.querySelectorAll('.track > button[tabindex="0"]')) other.tabIndex = -1;
  b.tabIndex = 0;
  b.focus();
  b.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

function walk(e) {
  const b = e.target.closest('.track > button'), open = lanes.filter(shown);
  const l = open.findIndex(lane => lane.bars.includes(b));
  if (l < 0) return;
  const i = open[l].bars.indexOf(b), middle = x => x.offsetLeft + x.offsetWidth / 2;
  let next;
  if (e.key === 'ArrowRight') next = open[l].bars[i + 1];
  else if (e.key === 'ArrowLeft') next = open[l].bars[i - 1];
  else if (e.key === 'ArrowDown' || e.key === 'ArrowUp') {
    const lane = open[l + (e.key === 'ArrowDown' ? 1 : -1)];
    next = lane && [...lane.bars].sort((x, y) => Math.abs(middle(x) - middle(b)) - Math.abs(middle(y) - middle(b)))[0];
  } else return;
  e.preventDefault();
  if (next) focusBar(next);
}

function drawTable() {
  const table = make('table'), head = table.createTHead().insertRow(), body = table.createTBody();
  for (const name of ['Started', 'Time', 'Kind', 'Step', 'Stage', 'Line', 'Platforms']) {
    const th = make('th', ['Started', 'Time', 'Line'].includes(name) ? 'num' : '', name);
    th.scope = 'col';
    head.append(th);
  }
  const begin = s => s.v ? s.v[0][0] : Infinity;
  const order = data.steps.map((_, i) => i).sort((a, b) => begin(data.steps[a]) - begin(data.steps[b]) || a - b);
  for (const i of order) {
    const s = data.steps[i], r = body.insertRow();
    r.dataset.row = i;
    const cell = (className, ...content) => { const td = make('td', className); td.append(...content); r.append(td); };
    cell('num', s.v ? duration(s.v[0][0]) : 'never');
    cell('num', duration(s.d || 0));
    cell('', make('span', 'dot ' + s.k), kindOf(s) + (s.cr ? ' ◆' : ''));
    cell('step', stepLink(i));
    cell('', stageName(s));
    cell('num', s.l ? 'L' + s.l : '');
    cell('', s.p.length > 2 ? platformName(s.p[0]) + ' and ' + (s.p.length - 1) + ' more' : s.p.map(platformName).join(', '));
  }
  byId('table').append(table);
  byId('all').querySelector('h2').textContent += ' (' + data.steps.length + ')';
}

// follow opens the step that the address names: #step=12.
function follow() {
  const named = /^#step=(\d+)$/.exec(location.hash);
  if (!named) return;
  choose(Number(named[1]));
  const bar = visibleBar(chosen);
  if (bar) bar.scrollIntoView({ block: 'center' });
}

function start() {
  document.body.classList.add('live');
  byId('timeline').hidden = byId('all').hidden = false;
  const axis = row('axis', '');
  chart.append(make('div', 'grid'), axis.row);
  data.platforms.forEach((_, p) => drawPlatform(p));
  drawLegend();
  drawTable();
  ticks();
  if (lanes.length) lanes[0].bars[0].tabIndex = 0;
  document.addEventListener('click', e => {
    const b = e.target.closest('[data-step]');
    if (b) choose(Number(b.dataset.step));
  });
  document.addEventListener('keydown', e => {
    if (e.key === 'Escape' && !panel.hidden) dismiss();
    if (e.target.matches('input') || e.ctrlKey || e.metaKey || e.altKey) return;
    if (e.key === '+' || e.key === '=') setZoom(zoom * 1.6);
    else if (e.key === '-') setZoom(zoom / 1.6);
    else if (e.key === '0') setZoom(1);
    else if (chart.contains(e.target)) walk(e);
  });
  chart.addEventListener('pointermove', showTip);
  chart.addEventListener('pointerleave', () => { tip.hidden = true; });
  chart.addEventListener('pointerdown', drag);
  scroll.addEventListener('wheel', e => {
    if (!e.ctrlKey && !e.altKey) return;
    e.preventDefault();
    setZoom(zoom * (e.deltaY < 0 ? 1.25 : 0.8), e.clientX - scroll.getBoundingClientRect().left);
  }, { passive: false });
  byId('in').addEventListener('click', () => setZoom(zoom * 1.6));
  byId('out').addEventListener('click', () => setZoom(zoom / 1.6));
  byId('fit').addEventListener('click', () => setZoom(1));
  byId('fold').addEventListener('click', e => {
    const groups = [...chart.querySelectorAll('.group')], close = groups.some(g => !g.children[1].hidden);
    for (const g of groups) setFold(g, close);
    e.target.textContent = close ? 'Unfold' : 'Fold';
  });
  filter.addEventListener('input', sift);
  addEventListener('resize', () => setZoom(zoom));
  addEventListener('hashchange', follow);
  follow();
}
start();
})();
