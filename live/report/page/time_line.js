// A lane for each speaker. Places are seconds that the style sheet turns into shares of the width (`--start`, `--span`,
// `--zoom` of #time), so that neither zooming nor a session that grows moves an element.

const WINDOWS = [
  ['all', Infinity],
  ['10 min', 600],
  ['2 min', 120],
  ['30 s', 30],
];
const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 86400, 604800];
const SIGNS =
  '▲ label differs from the speaker’s last one · dashed: not certain, read as “cannot tell” · ' +
  'height: probability of the label · ✎ label by a person · dotted foot: face in less than half of the frames · ' +
  'hatched: something is missing';
const lanes = new Map(); // speaker -> its track
const marks = new Map(); // utterance -> its button
let seen = WINDOWS[0][1];
let selected = null;

const span = () => Math.max(1, one('status').t1 - one('status').t0);

function startTimeLine() {
  for (const [text, seconds] of WINDOWS) {
    $('zoom').append(make('button', { type: 'button', textContent: text, onclick: () => zoomTo(seconds) }));
  }
  $('bands-on').addEventListener('change', () => $('time').classList.toggle('bands', $('bands-on').checked));
  $('signs').textContent = SIGNS;
  $('lanes').addEventListener('click', (event) => {
    const mark = event.target.closest('.mark');
    if (mark) choose(mark.dataset.key, true);
  });
  $('lanes').addEventListener('keydown', moveInLane);
  $('lanes').addEventListener('mouseover', (event) => {
    const mark = event.target.closest('.mark');
    if (mark) showDetail(mark.dataset.key);
  });
  $('lanes').addEventListener('focusin', (event) => {
    if (event.target.dataset.key) choose(event.target.dataset.key, false);
  });
}

function zoomTo(seconds) {
  const scroller = $('scroller');
  const middle = (scroller.scrollLeft + scroller.clientWidth / 2) / scroller.scrollWidth;
  seen = seconds;
  placeTime();
  scroller.scrollLeft = middle * scroller.scrollWidth - scroller.clientWidth / 2;
}

function placeTime() {
  const { t0 } = one('status');
  const zoom = Math.max(1, span() / seen);
  const style = $('time').style;
  style.setProperty('--start', t0);
  style.setProperty('--span', span());
  style.setProperty('--zoom', zoom);
  [...$('zoom').children].forEach((button, n) => button.setAttribute('aria-pressed', WINDOWS[n][1] === seen));
  const least = span() / (zoom * Math.max(2, Math.min(10, $('scroller').clientWidth / 90)));
  const step = STEPS.find((seconds) => seconds >= least) ?? least;
  const ticks = [];
  for (let t = Math.ceil(t0 / step) * step; t <= t0 + span(); t += step) {
    ticks.push(make('span', { '--t': t, textContent: clock(t) }));
  }
  $('ticks').replaceChildren(...ticks);
}

function drawLanes() {
  for (const [key, speaker] of rows('speakers')) {
    if (!lanes.has(key)) {
      const track = make('div', { className: 'track', role: 'listbox', 'aria-orientation': 'horizontal' });
      lanes.set(key, track);
      $('lanes').append(make('div', { className: 'lane' }, make('h3', {}, make('bdi')), track));
    }
    const text = speaker.called ? `${speaker.called} (${speaker.name})` : speaker.name;
    lanes.get(key).previousSibling.firstChild.textContent = text;
    lanes.get(key).setAttribute('aria-label', `Utterances of ${text}`);
    lanes.get(key).parentNode.classList.toggle('off', hidden.speakers.has(key));
  }
  for (const [key, track] of lanes) {
    if (rows('speakers').has(key)) continue;
    track.parentNode.remove();
    lanes.delete(key);
  }
}

function drawMark(key) {
  const row = rows('utterances').get(key);
  let mark = marks.get(key);
  if (!row) {
    mark?.remove();
    marks.delete(key);
    return;
  }
  if (!mark) {
    mark = make('div', { role: 'option', tabIndex: -1 }, make('i'), make('s'));
    mark.dataset.key = key;
    marks.set(key, mark);
  }
  const { letters, colour, ink, hatched } = look(row.label);
  const p = row.probs[row.label] ?? 0;
  const flags = {
    shift: row.shift,
    unsure: row.certain === false,
    partial: row.final === false,
    hatched,
    faceless: row.face !== undefined && row.face < 0.5,
    corrected: row.people !== undefined,
  };
  mark.className = ['mark', ...Object.keys(flags).filter((flag) => flags[flag])].join(' ');
  for (const [name, value] of Object.entries({
    '--t': row.t0,
    '--d': row.t1 - row.t0,
    '--p': p,
    '--colour': colour,
    '--ink': ink,
    '--stripe': stripe(ink),
  })) {
    mark.style.setProperty(name, value);
  }
  mark.firstChild.textContent = letters;
  mark.lastChild.style.background = stack(row.probs);
  mark.setAttribute('aria-label', describe(row));
  const track = lanes.get(row.speaker);
  if (track && mark.parentNode !== track) track.append(mark);
  if (track && !track.querySelector('[tabindex="0"]')) mark.tabIndex = 0;
}

// All probabilities as one bar, the largest at the bottom.
function stack(probs) {
  const stops = [];
  let from = 0;
  for (const [label, p] of Object.entries(probs).sort((a, b) => b[1] - a[1])) {
    stops.push(`${look(label).colour} ${from * 100}% ${(from + p) * 100}%`);
    from += p;
  }
  return `linear-gradient(to top, ${stops.join(', ')})`;
}

function describe(row) {
  const people = (row.people ?? []).map(([author, label]) => `${author} says ${label}`);
  return [
    `${nameOf(row.speaker)}, ${clock(row.t0)}`,
    `${row.label} ${percent(row.probs[row.label] ?? 0)}`,
    row.certain === false ? 'not certain' : '',
    row.shift ? 'shift' : '',
    row.final === false ? 'goes on' : '',
    ...people,
    row.text ?? '',
  ]
    .filter(Boolean)
    .join('; ');
}

// What is missing of one microphone lies in the lanes of its speakers, anything else in all of them. People who cannot
// see it read the list of the section "What is missing".
function drawBands() {
  const end = one('status').t1;
  for (const old of $('time').querySelectorAll('.gap')) old.remove();
  for (const row of rows('bands').values()) {
    const concerned = [...rows('speakers')].filter(([, speaker]) => speaker.sources?.includes(row.source));
    for (const place of concerned.length ? concerned.map(([key]) => lanes.get(key)) : [$('gaps')]) {
      place.append(
        make('div', {
          className: `gap ${row.cause}`,
          title: `${clock(row.t0)} ${row.text}`,
          'aria-hidden': true,
          '--t': row.t0,
          '--d': Math.max(0, (row.t1 ?? end) - row.t0),
        }),
      );
    }
  }
  $('moments').replaceChildren(
    ...[...rows('notes').values()].map((row) =>
      make('button', {
        className: `moment of-${row.kind}`,
        type: 'button',
        title: `${clock(row.t)} ${row.text}`,
        '--t': row.t,
        'aria-label': `${clock(row.t)} ${row.kind}: ${row.text}`,
        textContent: NOTE_SIGNS[row.kind],
        onclick: () => seek(row.t),
      }),
    ),
  );
}

function choose(key, play) {
  const mark = marks.get(key);
  if (!mark) return;
  if (selected !== key) {
    marks.get(selected)?.classList.remove('selected');
    marks.get(selected)?.setAttribute('aria-selected', 'false');
    selected = key;
  }
  mark.classList.add('selected');
  mark.setAttribute('aria-selected', 'true');
  for (const other of mark.parentNode.querySelectorAll('[tabindex="0"]')) other.tabIndex = -1;
  mark.tabIndex = 0;
  showDetail(key);
  if (play) seek(rows('utterances').get(key).t0);
}

function moveInLane(event) {
  const key = event.target.dataset.key;
  if (!key) return;
  const all = rows('utterances');
  const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: 0, ArrowUp: 0, Home: 1, End: -1 }[event.key];
  if (event.key === 'Enter' || event.key === ' ') choose(key, true);
  else if (step === undefined) return;
  else if (step === 0) focusMark(nextSpeaker(key, event.key === 'ArrowDown' ? 1 : -1));
  else {
    let place = { Home: -1, End: inOrder.length }[event.key] ?? places.get(key);
    do place += step;
    while (
      inOrder[place] &&
      !(all.get(inOrder[place]).speaker === all.get(key).speaker && isVisible(all.get(inOrder[place])))
    );
    focusMark(inOrder[place]);
  }
  event.preventDefault();
}

// The utterance of the next lane that is nearest in time.
function nextSpeaker(key, step) {
  const all = rows('utterances');
  const order = [...lanes.keys()].filter((speaker) => !hidden.speakers.has(speaker));
  const speaker = order[order.indexOf(all.get(key).speaker) + step];
  const far = (other) => Math.abs(all.get(other).t0 - all.get(key).t0);
  return inOrder
    .filter((other) => all.get(other).speaker === speaker && isVisible(all.get(other)))
    .reduce((best, other) => (best && far(best) <= far(other) ? best : other), undefined);
}

function focusMark(key) {
  const mark = marks.get(key);
  mark?.focus();
  mark?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
}

// All probabilities of one utterance, and what they rest on.
function showDetail(key) {
  const row = rows('utterances').get(key);
  const bars = Object.entries(row.probs)
    .sort((a, b) => b[1] - a[1])
    .map(([label, p]) =>
      make(
        'li',
        {},
        chip(label),
        make('span', { dir: 'auto' }, label),
        make('meter', { value: p, min: 0, max: 1, 'aria-label': label }),
        percent(p),
      ),
    );
  const facts = [
    row.certain === false ? 'not certain: read as “cannot tell”' : '',
    row.modalities ? `rests on ${row.modalities.join(', ')}` : '',
    row.valence === undefined
      ? ''
      : `valence ${signed(row.valence)}, arousal ${signed(row.arousal)}, from the probabilities`,
    (row.languages ?? []).length ? `words in ${row.languages.join(', ')}` : '',
    row.face === undefined ? '' : `face in ${percent(row.face)} of the frames`,
    row.text_confidence === undefined ? '' : `words trusted ${percent(row.text_confidence)}`,
    row.speaker_confidence === undefined ? '' : `whose voice: ${percent(row.speaker_confidence)}`,
    ...(row.people ?? []).map(([author, label]) => `${author}: ${label}`),
  ]
    .filter(Boolean)
    .join(' · ');
  $('detail').replaceChildren(
    make(
      'p',
      {},
      make('b', { dir: 'auto' }, nameOf(row.speaker)),
      ` ${clock(row.t0)} `,
      make('q', { dir: 'auto' }, row.text ?? ''),
    ),
    make('ul', { className: 'probs' }, ...bars),
    make('p', { className: 'hint' }, facts),
  );
}
