// What the page knows: items by kind and key, as `page_rows.py` describes them, and how pieces of the page are made.
// The rule: whatever comes from outside reaches the page as text (`textContent`) or as a property, never as markup.

const $ = (id) => document.getElementById(id);
const known = {};

function rows(kind) {
  known[kind] ??= new Map();
  return known[kind];
}

function one(kind) {
  return rows(kind).values().next().value;
}

// Takes what changed; the kinds and keys of it, for those who draw.
function merge(changed, reset) {
  if (reset) for (const kind of Object.keys(known)) known[kind].clear();
  for (const [kind, part] of Object.entries(changed)) {
    for (const [key, row] of Object.entries(part)) {
      if (row === null) rows(kind).delete(key);
      else rows(kind).set(key, row);
    }
  }
}

// An element with properties (or attributes, where there is a dash) and children: elements or text.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('--')) element.style.setProperty(name, value);
    else if (name.includes('-')) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== '' && child !== null));
  return element;
}

// Session time as people read it: m:ss, or h:mm:ss.
function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, '0');
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}

const percent = (share) => `${Math.round(share * 100)} %`;
const signed = (value) => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(2)}`;
const plural = (n, what) => `${n} ${what}${n === 1 ? '' : 's'}`;

const NO_LOOK = { letters: '??', colour: '#9a9a9a', ink: '#111111' };
const look = (label) => rows('labels').get(label) ?? NO_LOOK;

// A speaker's name: what people call it, else what the session does.
function nameOf(key) {
  const speaker = rows('speakers').get(key);
  return speaker ? speaker.called || speaker.name : '';
}

// Stripes of a hatching are unlike the letters that stand on them.
const stripe = (ink) => (ink === '#ffffff' ? 'rgb(0 0 0 / 0.4)' : 'rgb(255 255 255 / 0.5)');

// The two letters of a label in its colours.
function chip(label, text = '') {
  const { letters, colour, ink, hatched } = look(label);
  return make(
    'span',
    { className: hatched ? 'chip hatched' : 'chip', '--colour': colour, '--ink': ink, '--stripe': stripe(ink) },
    make('b', {}, letters),
    text,
  );
}

const hidden = { labels: new Set(), speakers: new Set() };
const isVisible = (row) => !hidden.labels.has(row.label) && !hidden.speakers.has(row.speaker);

let inOrder = []; // keys of the utterances, by their beginning
let places = new Map(); // key -> place in that order

function sortUtterances() {
  const all = rows('utterances');
  inOrder = [...all.keys()].sort((a, b) => all.get(a).t0 - all.get(b).t0);
  places = new Map(inOrder.map((key, place) => [key, place]));
}

// The last utterance that has begun at that time, of those that `wanted` takes; by halving.
function utteranceAt(seconds) {
  const all = rows('utterances');
  let [low, high] = [0, inOrder.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (all.get(inOrder[middle]).t0 <= seconds) low = middle + 1;
    else high = middle;
  }
  return inOrder[low - 1];
}
