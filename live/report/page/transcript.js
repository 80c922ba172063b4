// Everything that was said, one row for each utterance, each word a way into the sound.

const lines = new Map(); // utterance -> its row

function startTranscript() {
  const list = $('transcript');
  list.addEventListener('click', (event) => {
    const line = event.target.closest('li');
    if (!line || String(getSelection())) return;
    const at = event.target.dataset.t;
    focusLine(line);
    if (at !== undefined) seek(Number(at));
  });
  list.addEventListener('keydown', moveInTranscript);
  list.addEventListener('focusin', (event) => {
    const line = event.target.closest('li');
    if (line) choose(line.dataset.key, false);
  });
}

function drawLine(key) {
  const row = rows('utterances').get(key);
  const old = lines.get(key);
  if (!row) {
    old?.remove();
    lines.delete(key);
    return;
  }
  const line = make(
    'li',
    { tabIndex: -1, hidden: !isVisible(row), className: row.final === false ? 'partial' : '' },
    make('button', { type: 'button', className: 'time', tabIndex: -1, 'data-t': row.t0, textContent: clock(row.t0) }),
    make('b', { className: 'who' }, make('bdi', {}, nameOf(row.speaker)), row.speaker_confidence < 0.5 ? '?' : ''),
    make(
      'span',
      { className: row.certain === false ? 'label unsure' : 'label' },
      chip(row.label, ` ${row.label} ${percent(row.probs[row.label] ?? 0)}`),
      row.certain === false ? '?' : '',
      row.shift ? ' ▲' : '',
    ),
    make(
      'span',
      { className: 'people' },
      ...(row.people ?? []).map(([author, label]) =>
        make('span', {}, '✎ ', chip(label, ` ${label}`), make('small', { dir: 'auto' }, ` ${author} `)),
      ),
    ),
    make('p', { className: 'text', dir: 'auto' }, ...words(row)),
  );
  line.dataset.key = key;
  if (old) {
    const focused = old === document.activeElement || old.contains(document.activeElement);
    line.tabIndex = old.tabIndex;
    old.replaceWith(line);
    if (focused) line.focus();
  }
  lines.set(key, line);
}

function words(row) {
  if (row.words) return row.words.flatMap(([text, t]) => [make('span', { className: 'word', 'data-t': t }, text), ' ']);
  if (row.text) return [make('span', { className: 'word', 'data-t': row.t0 }, row.text)];
  const why = row.skipped ? '(words skipped: the machine was too slow)' : '(no words recognised)';
  return [make('i', {}, why)];
}

// Puts rows that are new where they belong: nearly always at the end.
function orderLines() {
  const list = $('transcript');
  let next = null;
  for (let place = inOrder.length - 1; place >= 0; place--) {
    const line = lines.get(inOrder[place]);
    if (line.nextSibling !== next || line.parentNode !== list) list.insertBefore(line, next);
    next = line;
  }
  if (!list.querySelector('li[tabindex="0"]') && list.firstChild) list.firstChild.tabIndex = 0;
}

function countLines() {
  const visible = inOrder.filter((key) => isVisible(rows('utterances').get(key))).length;
  const all = plural(inOrder.length, 'utterance');
  $('count').textContent = !inOrder.length
    ? one('head')?.live
      ? 'No utterance yet.'
      : 'No utterance was classified.'
    : visible < inOrder.length
      ? `${visible} of ${all}`
      : all;
}

function focusLine(line) {
  for (const other of $('transcript').querySelectorAll('li[tabindex="0"]')) other.tabIndex = -1;
  line.tabIndex = 0;
  line.focus({ preventScroll: true });
  line.scrollIntoView({ block: 'nearest' });
}

// Up and down: utterances; left and right: words; Enter and space: hear it.
function moveInTranscript(event) {
  const line = event.target.closest('li');
  if (!line || event.ctrlKey || event.metaKey || event.altKey) return;
  const marked = line.querySelector('.at');
  if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
    let next = line;
    do next = event.key === 'ArrowDown' ? next.nextSibling : next.previousSibling;
    while (next?.hidden);
    if (next) focusLine(next);
  } else if (event.key === 'ArrowRight' || event.key === 'ArrowLeft') {
    const all = [...line.querySelectorAll('.word')];
    const place = all.indexOf(marked) + (event.key === 'ArrowRight' ? 1 : -1);
    marked?.classList.remove('at');
    all[Math.max(0, Math.min(all.length - 1, place))]?.classList.add('at');
  } else if (event.key === 'Enter' || event.key === ' ') {
    seek(Number((marked ?? line.querySelector('.time')).dataset.t));
  } else return;
  event.preventDefault();
}

// The element of the word that is said at that time, null between words.
function wordAt(key, seconds) {
  const row = rows('utterances').get(key);
  const place = (row.words ?? []).findIndex(([, from, to]) => from <= seconds && seconds < to);
  return place < 0 ? null : lines.get(key).querySelectorAll('.word')[place];
}
