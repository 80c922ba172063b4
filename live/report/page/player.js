// The sound, where there is one: a second of it is a second of the page.

const audio = $('audio');
let spoken = null; // the word that is marked

const hasSound = () => one('sound')?.present ?? false;

function seek(seconds) {
  if (!hasSound()) return;
  audio.currentTime = Math.max(0, seconds);
  audio.play().catch(() => {}); // a browser that wants a click first gets it with the next one
}

function markSpoken() {
  const now = $('now');
  now.hidden = false;
  now.style.setProperty('--t', audio.currentTime);
  const key = utteranceAt(audio.currentTime);
  const word = key && wordAt(key, audio.currentTime);
  if (word !== spoken) {
    spoken?.classList.remove('spoken');
    word?.classList.add('spoken');
    spoken = word;
  }
  if (!audio.paused) requestAnimationFrame(markSpoken);
}

function startPlayer(source) {
  $('player').hidden = !source;
  if (!source) return;
  audio.src = source;
  audio.addEventListener('play', () => requestAnimationFrame(markSpoken));
  audio.addEventListener('seeked', markSpoken);
  audio.addEventListener(
    'error',
    () => {
      $('player').append(
        make(
          'p',
          { className: 'alarm' },
          source.startsWith('data:')
            ? 'This browser cannot play the sound (Opus in WebM).'
            : `The sound is not there: ${decodeURIComponent(source)} belongs beside this page.`,
        ),
      );
    },
    { once: true },
  );
  document.addEventListener('keydown', (event) => {
    const busy = event.target.closest?.('input, button, audio, a, summary, [role=option]');
    if (event.key !== ' ' || busy || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (audio.paused) audio.play();
    else audio.pause();
  });
}
