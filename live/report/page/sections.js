// Head, filters, tables and foot of the page.

const NOTE_SIGNS = { mark: '⚑', name: '✎', alert: '!', change: '⇄', loss: '✖' };
const PHASES = {
  live: 'LIVE',
  recorded: 'Recorded',
  ended: 'Ended',
  'cut off': 'Cut off',
  lost: 'LOST',
  waiting: 'Waiting',
};

function drawHead() {
  const head = one('head');
  const status = one('status');
  const state = status.paused && status.phase === 'live' ? 'PAUSED' : (PHASES[status.phase] ?? status.phase);
  $('status').textContent = [state, status.recording ? 'REC' : '', status.text ?? ''].filter(Boolean).join(' · ');
  $('status').className =
    status.phase === 'lost' || status.phase === 'cut off' || status.paused ? 'alarm' : status.phase;
  if (!head) return;
  document.title = `Session ${head.session} · erc-live`;
  $('title').textContent = `Session ${head.session}`;
  const facts = {
    Began:
      head.wall_s > 86400
        ? new Date(head.wall_s * 1000).toLocaleString([], { dateStyle: 'long', timeStyle: 'medium' })
        : '',
    Length: clock(status.t1 - status.t0),
    Purpose: [head.purpose, head.setting === 'other' ? '' : head.setting].filter(Boolean).join(', '),
    Responsible: [head.controller, head.contact].filter(Boolean).join(', '),
  };
  $('facts').replaceChildren(
    ...Object.entries(facts)
      .filter(([, text]) => text)
      .map(([name, text]) => make('div', {}, make('dt', {}, name), make('dd', { dir: 'auto' }, text))),
  );
  $('notice').textContent = head.notice;
  $('notice').lang = head.language ?? 'en';
}

function drawFilters() {
  drawChoices($('by-label'), [...rows('labels').keys()], hidden.labels, (label) => [chip(label), ` ${label}`]);
  drawChoices($('by-speaker'), [...rows('speakers').keys()], hidden.speakers, (key) => [make('bdi', {}, nameOf(key))]);
}

// A box to tick for each; those that stay keep their focus.
function drawChoices(place, keys, off, content) {
  const boxes = new Map([...place.children].map((label) => [label.dataset.key, label]));
  place.replaceChildren(
    ...keys.map((key) => {
      const old = boxes.get(key);
      if (
        old &&
        old.dataset.text ===
          content(key)
            .map((part) => part.textContent ?? part)
            .join('')
      )
        return old;
      const box = make('input', { type: 'checkbox', checked: !off.has(key) });
      box.addEventListener('change', () => {
        if (box.checked) off.delete(key);
        else off.add(key);
        filter();
      });
      const label = make('label', {}, box, make('span', {}, ...content(key)));
      label.dataset.key = key;
      label.dataset.text = content(key)
        .map((part) => part.textContent ?? part)
        .join('');
      return label;
    }),
  );
}

function filter() {
  for (const [key, row] of rows('utterances')) {
    marks.get(key)?.classList.toggle('off', !isVisible(row));
    lines.get(key).hidden = !isVisible(row);
  }
  drawLanes();
  countLines();
}

function table(place, heads, body) {
  const cell = (text, n) => make(n ? 'td' : 'th', n ? {} : { scope: 'row', dir: 'auto' }, text);
  place.replaceChildren(
    make('thead', {}, make('tr', {}, ...heads.map((text) => make('th', { scope: 'col' }, text)))),
    make('tbody', {}, ...body.map((cells) => make('tr', {}, ...cells.map(cell)))),
  );
}

function drawPeople() {
  const heads = [
    'Speaker',
    'Talk time',
    'Share',
    'Utterances',
    'Labels',
    'Shifts',
    'Overlap',
    'Interruptions',
    'Interrupted',
  ];
  table(
    $('people'),
    heads,
    [...rows('speakers')].map(([key, row]) => [
      nameOf(key),
      clock(row.talk_s ?? 0),
      percent(row.share ?? 0),
      String(row.utterances ?? 0),
      labelCounts(row.labels ?? {}),
      String(row.shifts ?? 0),
      `${(row.overlap_s ?? 0).toFixed(1)} s`,
      String(row.interruptions ?? 0),
      String(row.interrupted ?? 0),
    ]),
  );
}

function labelCounts(counts) {
  const all = [...rows('labels').keys()].filter((label) => counts[label]);
  return make(
    'span',
    { className: 'counts' },
    ...all.map((label) => make('span', { title: label }, chip(label), ` ${counts[label]} `)),
  );
}

function drawLatency() {
  const ms = (value) => `${value.toLocaleString('en')} ms`;
  const stages = [...rows('latency').values()];
  table(
    $('latency'),
    ['Stage', 'p50', 'p95'],
    stages.map((row) => [row.name, ms(row.p50_ms), ms(row.p95_ms)]),
  );
  $('latency').hidden = !stages.length;
  $('latency-text').textContent = stages.length
    ? `From the stamps of ${plural(stages[0].count, 'utterance')}, each by its first final event.`
    : inOrder.length
      ? 'None to give: at --speed max the stamps are times of the media, and nobody waits.'
      : 'None to give.';
}

function drawLacks() {
  const items = [...rows('lacks').values()].map((row) => make('li', {}, row.text));
  const open = one('head')?.live ? 'now' : 'the end';
  const bands = [...rows('bands').values()]
    .sort((a, b) => a.t0 - b.t0)
    .map((row) => make('li', {}, `${clock(row.t0)} to ${row.t1 === null ? open : clock(row.t1)}: ${row.text}`));
  const faceless = [...rows('utterances').values()].filter((row) => row.face !== undefined && row.face < 0.5).length;
  if (faceless) items.push(make('li', {}, `a face in less than half of the frames: ${plural(faceless, 'utterance')}`));
  $('lacks').replaceChildren(...items, ...bands);
  $('lacks-section').hidden = !items.length && !bands.length;
}

function drawNotes() {
  const notes = [...rows('notes').values()].sort((a, b) => a.t - b.t);
  $('notes').replaceChildren(
    ...notes.map((row) =>
      make(
        'li',
        {},
        make('button', { type: 'button', className: 'time', textContent: clock(row.t), onclick: () => seek(row.t) }),
        ` ${NOTE_SIGNS[row.kind]} `,
        make('bdi', {}, row.text),
        make('small', { dir: 'auto' }, row.author ? ` ${row.author}` : ''),
      ),
    ),
  );
  $('notes-section').hidden = !notes.length;
}

// The figures are images: what is in one of them can do nothing but be seen.
function drawWhy() {
  const figures = [...rows('why')].map(([id, row]) => {
    const key = inOrder.find((other) => other === id || other.endsWith(`/${id}`));
    const said = rows('utterances').get(key);
    const caption = said ? `${nameOf(said.speaker)} ${clock(said.t0)}: ${said.label}. ${said.text ?? ''}` : id;
    return make(
      'figure',
      {},
      make('figcaption', { dir: 'auto' }, caption),
      make('img', {
        src: `data:image/svg+xml,${encodeURIComponent(row.svg)}`,
        alt: `What moved the estimate of ${caption}`,
      }),
    );
  });
  $('why').replaceChildren(...figures);
  $('why-section').hidden = !figures.length;
}

function drawFoot() {
  const head = one('head');
  const sound = one('sound');
  $('origin').replaceChildren(
    ...[
      head?.model ? `Model ${head.model}. ${head.weights ?? ''}` : '',
      sound?.text ?? '',
      head ? `erc-live ${head.version}. This page asks nothing of any other machine.` : '',
    ]
      .filter(Boolean)
      .map((text) => make('li', {}, text)),
  );
}
