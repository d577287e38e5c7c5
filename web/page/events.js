// The stream of events: read with the token in a header, which EventSource can't send, and taken up again from the last id.

import { expire, open } from './api.js';

const LONGEST_PAUSE = 15000;
// The cloud writes each 15 s, also when there is nothing new.
const SILENCE = 40000;

// Follows until `stop()`. Calls `onEvents` with what has come since the last frame, `onState` with `live`, `broken`, `stale`.
export function follow(query, { onEvents, onState, onLost }) {
  let lastId = null;
  let pause = 500;
  let stopped = false;
  let abort = new AbortController();
  let waiting = [];
  let scheduled = false;
  let retryNow = () => {};

  const deliver = () => {
    scheduled = false;
    const events = waiting;
    waiting = [];
    if (!stopped && events.length) onEvents(events);
  };

  const take = (event, data) => {
    if (event === 'lost') onLost();
    else if (event === 'stale') onState('stale');
    else if (event === 'current') onState('live');
    else if (event === 'end') expire();
    else if (event !== 'hello') {
      waiting.push({ event, data });
      if (!scheduled) {
        scheduled = true;
        // A page that is not looked at has no frames; it is kept up all the same.
        if (document.hidden) setTimeout(deliver, 200);
        else requestAnimationFrame(deliver);
      }
    }
  };

  const frame = (text) => {
    let event = 'message';
    const data = [];
    for (const line of text.split('\n')) {
      const at = line.indexOf(': ');
      if (at <= 0) continue;
      const value = line.slice(at + 2);
      if (line.startsWith('event')) event = value;
      else if (line.startsWith('data')) data.push(value);
      else if (line.startsWith('id')) lastId = value;
    }
    if (data.length) take(event, JSON.parse(data.join('\n')));
  };

  const read = async () => {
    abort = new AbortController();
    let silence = setTimeout(() => abort.abort(), SILENCE);
    const headers = { Accept: 'text/event-stream' };
    if (lastId) headers['Last-Event-ID'] = lastId;
    try {
      const response = await open(`cloud/v1/events${query}`, { headers, signal: abort.signal });
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let text = '';
      onState('live');
      for (;;) {
        const { done, value } = await reader.read();
        clearTimeout(silence);
        if (done) return;
        silence = setTimeout(() => abort.abort(), SILENCE);
        pause = 500;
        text += value;
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          frame(text.slice(0, end));
          text = text.slice(end + 2);
        }
      }
    } finally {
      clearTimeout(silence);
    }
  };

  (async () => {
    while (!stopped) {
      try {
        await read();
      } catch (error) {
        // An id that this cloud can't know of: it was made anew.
        if (error.status === 400) {
          lastId = null;
          onLost();
        }
      }
      if (stopped) return;
      onState('broken');
      await new Promise((resolve) => {
        retryNow = resolve;
        setTimeout(resolve, pause);
      });
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  })();

  const online = () => retryNow();
  window.addEventListener('online', online);
  return {
    stop() {
      stopped = true;
      window.removeEventListener('online', online);
      abort.abort();
      retryNow();
    },
  };
}
