// The bus: its queues, what waits in them, and the messages that were set aside.

import { ask, get, may } from './api.js';
import { ago, clock, confirmed, empty, failure, h, loading, show, toast } from './dom.js';

const INTERVAL = 1000;
const LETTERS = 'cloud/v1/bus/dead-letters';

export function busPage(main) {
  const queues = h('div', { className: 'panel' }, loading());
  const letters = h('div', { className: 'panel' }, loading());
  const filter = h('input', { type: 'search', placeholder: 'Queue  ( / )', 'aria-label': 'Search queues' });
  const note = h('p', { className: 'small faint' });
  // How many waited lately, of each queue, for its line.
  const history = new Map();
  let letterTexts = null;
  let stopped = false;
  show(
    main,
    h('div', { className: 'head' }, h('h1', null, 'The bus'), filter),
    h('section', { 'aria-labelledby': 'letters-title' }, h('h2', { id: 'letters-title' }, 'Dead letters'), letters),
    h('section', { 'aria-labelledby': 'queues-title' }, h('h2', { id: 'queues-title' }, 'Queues'), queues, note),
  );

  function trend(name, ready) {
    const known = history.get(name) ?? [];
    known.push(ready);
    if (known.length > 40) known.shift();
    history.set(name, known);
    const most = Math.max(1, ...known);
    return h('span', { className: 'trend', 'aria-hidden': 'true' }, known.map((it) => h('span', { style: { '--part': String(it / most) } })));
  }

  async function readQueues() {
    try {
      const { bus } = await get('cloud/v1/bus');
      const text = filter.value.toLowerCase();
      const found = bus.queues.filter((queue) => queue.name.toLowerCase().includes(text));
      const bindings = new Map();
      for (const it of bus.bindings) bindings.set(it.queue, [...(bindings.get(it.queue) ?? []), `${it.exchange} ${it.routing_key}`]);
      note.textContent = bus.missing ?? '';
      show(
        queues,
        found.length
          ? h(
            'table',
            null,
            h('thead', null, h('tr', null, ['Queue', 'Bound to', 'Waiting', 'In hand', 'Consumers', 'Lately'].map((it) => h('th', { scope: 'col' }, it)))),
            h('tbody', null, found.map((queue) => h(
              'tr',
              { 'data-queue': queue.name },
              h('td', { className: 'mono' }, queue.name),
              h('td', { className: 'small faint' }, (bindings.get(queue.name) ?? []).join(', ')),
              h('td', { className: queue.ready > 0 ? 'number strong' : 'number' }, String(queue.ready)),
              h('td', { className: 'number' }, queue.unacked === null ? '?' : String(queue.unacked)),
              h('td', { className: queue.consumers === 0 ? 'number warn' : 'number' }, String(queue.consumers)),
              h('td', null, trend(queue.name, queue.ready)),
            ))),
          )
          : empty('No queue', 'There is none of this name.'),
      );
    } catch (error) {
      show(queues, failure(error));
    }
  }

  async function dispose(verb, letter, done) {
    const one = { letters: letter.map(({ id, queue }) => ({ id, queue })) };
    try {
      const { data } = await ask(`${LETTERS}/action`, { method: 'POST', body: { [verb]: one } });
      const [failed] = data.disposed.failed;
      if (failed) toast(failed.reason, 'bad');
      else toast(`${data.disposed.count} ${data.disposed.count === 1 ? 'letter is' : 'letters are'} ${done}.`, 'good');
    } catch (error) {
      toast(error.message, 'bad');
    }
    letterTexts = null;
    readLetters();
  }

  function letterRow(letter) {
    return h(
      'li',
      { className: 'letter', 'data-letter': letter.id },
      h(
        'div',
        { className: 'row' },
        h('strong', { className: 'mono' }, letter.method ?? letter.event_type ?? 'what can’t be read'),
        h('span', { className: 'faint' }, `from ${letter.queue}, ${ago(letter.time)}, delivered ${letter.deliveries} times`),
        letter.request_id ? h('a', { className: 'mono small', href: `#/requests/${letter.request_id}` }, letter.request_id) : null,
      ),
      h('p', { title: clock(letter.time) }, letter.reason),
      letter.doubtful ? h('p', { className: 'notice bad' }, 'The broker does not vouch for the queue that it names. It is not sent again.') : null,
      h('details', null, h('summary', null, letter.cut ? `The beginning of its ${letter.cut} bytes` : 'Its body'), h('pre', { tabIndex: 0 }, letter.body)),
      h(
        'div',
        { className: 'row' },
        may('cloud:bus:dead_letters:retry') && !letter.doubtful && !letter.cut
          ? h('button', { type: 'button', 'data-action': 'retry', onclick: () => dispose('retry', [letter], 'sent again') }, 'Send again')
          : null,
        may('cloud:bus:dead_letters:drop')
          ? h('button', {
            type: 'button',
            className: 'danger',
            'data-action': 'drop',
            onclick: async () => {
              if (await confirmed('Delete this message?', 'Nobody will do what it asks for.', 'Delete')) dispose('drop', [letter], 'deleted');
            },
          }, 'Delete')
          : null,
      ),
    );
  }

  async function readLetters() {
    if (!may('cloud:bus:dead_letters:list')) return show(letters, empty('Not for you', 'Your roles do not show dead letters.'));
    try {
      const { dead_letters: found } = await get(LETTERS);
      // Drawn anew only when it has changed, so that what is open stays open.
      const texts = found.map((it) => `${it.id} ${it.queue}`).join();
      if (texts === letterTexts) return;
      letterTexts = texts;
      show(letters, found.length
        ? h('ul', { className: 'letters' }, found.map(letterRow))
        : empty('No dead letter', 'A message that nobody could work on would be here, with the reason.'));
    } catch (error) {
      letterTexts = null;
      show(letters, failure(error, readLetters));
    }
  }

  (async () => {
    for (let turn = 0; !stopped; turn += 1) {
      if (!document.hidden) {
        await readQueues();
        if (turn % 3 === 0) await readLetters();
      }
      await new Promise((resolve) => { setTimeout(resolve, INTERVAL); });
    }
  })();
  filter.addEventListener('input', readQueues);
  return () => { stopped = true; };
}
