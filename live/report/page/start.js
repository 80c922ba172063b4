// Begins with what the page holds and, where it is live, goes on with what the server of `erc-live web` sends.

function draw(changed) {
  const has = (...kinds) => kinds.some((kind) => kind in changed);
  const scroller = $('scroller');
  const atEnd = scroller.scrollLeft + scroller.clientWidth >= scroller.scrollWidth - 8;
  const looks = has('labels') || Object.keys(changed.speakers ?? {}).some((key) => !lanes.has(key));
  const again = looks ? [...rows('utterances').keys()] : Object.keys(changed.utterances ?? {});
  sortUtterances();
  if (has('speakers', 'labels')) {
    drawLanes();
    drawFilters();
    drawPeople();
  }
  for (const key of again) {
    drawMark(key);
    drawLine(key);
  }
  if (again.length) orderLines();
  countLines();
  if (has('status')) placeTime();
  if (has('bands', 'notes', 'status')) drawBands();
  if (has('notes')) drawNotes();
  if (has('bands', 'lacks', 'utterances')) drawLacks();
  if (has('latency', 'utterances')) drawLatency();
  if (has('why')) drawWhy();
  if (has('head', 'sound')) drawFoot();
  drawHead();
  const { live } = one('head') ?? {};
  if (live && atEnd) scroller.scrollLeft = scroller.scrollWidth;
  if (!selected && inOrder.length) showDetail(live ? inOrder.at(-1) : inOrder[0]); // until somebody chooses
}

// What another session left on the page goes.
function clearPage() {
  for (const key of [...marks.keys()]) {
    marks.get(key).remove();
    lines.get(key).remove();
  }
  marks.clear();
  lines.clear();
  selected = null;
  $('detail').replaceChildren();
}

function follow(address) {
  const updates = new EventSource(address);
  updates.onmessage = ({ data }) => {
    const { items, reset } = JSON.parse(data);
    merge(items, reset);
    if (reset) clearPage();
    draw(reset ? { ...known, ...items } : items);
  };
  updates.onerror = () => {
    const gone = updates.readyState === EventSource.CLOSED;
    $('status').className = 'alarm';
    $('status').textContent = gone
      ? 'erc-live web has ended: start it again, and open the address that it prints'
      : 'erc-live web does not answer; trying again …';
  };
}

const given = JSON.parse($('data').textContent);
merge(given.items, false);
startTimeLine();
startTranscript();
startPlayer(given.sound);
draw(given.items);
if (given.follow) follow(given.follow);
addEventListener('resize', placeTime);
