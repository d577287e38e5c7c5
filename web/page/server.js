// One server: its state, its console, and what was asked of it.

import { ask, compute, current, get, isOperator, may } from './api.js';
import { ago, badge, bytes, clock, empty, failure, h, loading, setText, show } from './dom.js';
import { actionButtons, progressBar, progressOf } from './servers.js';
import { act, migrationOf, store, watch } from './store.js';

const fact = (name, value) => (value === null || value === undefined || value === '' ? [] : [h('dt', null, name), h('dd', null, value)]);

export function serverPage(main, id) {
  const name = h('h1', null, id);
  const mark = h('span');
  const way = progressBar();
  const actions = h('div', { className: 'row actions', role: 'group', 'aria-label': 'Actions' });
  const facts = h('dl', { className: 'facts' });
  const fault = h('div');
  const console_ = h('div', { className: 'panel' });
  const history = h('div', { className: 'panel' });
  show(
    main,
    h('p', { className: 'crumbs' }, h('a', { href: '#/servers' }, 'Servers')),
    h('div', { className: 'head' }, name, mark, h('span', { className: 'way' }, way.elements)),
    actions,
    fault,
    h('section', { className: 'panel', 'aria-label': 'Facts' }, facts),
    h('section', { 'aria-labelledby': 'history-title' }, h('h2', { id: 'history-title' }, 'What was asked of it'), history),
    may('os_compute_api:os-console-output')
      ? h('section', { 'aria-labelledby': 'console-title' }, h('div', { className: 'row' }, h('h2', { id: 'console-title' }, 'Console log'), h('button', { type: 'button', className: 'quiet', id: 'console-read', onclick: readConsole }, 'Read')), console_)
      : null,
  );

  async function readConsole() {
    show(console_, loading());
    try {
      const { data } = await ask(compute(`servers/${id}/action`), { method: 'POST', body: { 'os-getConsoleOutput': { length: 200 } } });
      show(console_, data.output ? h('pre', { tabIndex: 0 }, data.output) : empty('Nothing yet', 'The guest has written nothing to its console.'));
    } catch (error) {
      show(console_, failure(error, readConsole));
    }
  }

  async function readHistory() {
    try {
      const { instanceActions } = await get(compute(`servers/${id}/os-instance-actions`));
      if (!instanceActions.length) return show(history, empty('Nothing yet', 'What is asked of this server is listed here.'));
      show(
        history,
        h(
          'table',
          null,
          h('thead', null, h('tr', null, ['Action', 'When', 'Result', 'Request'].map((it) => h('th', { scope: 'col' }, it)))),
          h('tbody', null, instanceActions.map((it) => h(
            'tr',
            null,
            h('td', null, it.action),
            h('td', { title: clock(it.start_time) }, ago(it.start_time)),
            h('td', null, it.message ? badge(it.message) : ''),
            h('td', null, h('a', { className: 'mono story', href: `#/requests/${it.request_id}` }, it.request_id)),
          ))),
        ),
      );
    } catch (error) {
      show(history, failure(error, readHistory));
    }
  }

  let offered = '';
  let wasUnderWay = null;
  const draw = () => {
    const server = store.servers.get(id);
    if (!server) {
      if (store.phase === 'loading') return;
      name.textContent = id;
      show(mark, badge('DELETED'));
      show(actions);
      way.set(undefined);
      show(facts, h('dt', null, 'State'), h('dd', null, 'There is no such server, or none any more. Its history stays.'));
      if (wasUnderWay !== 'gone') readHistory();
      wasUnderWay = 'gone';
      return;
    }
    setText(name, server.name || server.id);
    document.title = `${server.name} – Novella`;
    if (mark.textContent !== server.status) show(mark, badge(server.status));
    way.set(progressOf(server));
    const state = `${server.vm_state} ${server.task_state} ${server.has_host}`;
    if (offered !== state) {
      offered = state;
      const migration = migrationOf(id);
      const abort = migration && may('os_compute_api:servers:migrations:delete') && server.task_state === 'migrating'
        ? h('button', { type: 'button', className: 'danger', 'data-action': 'abort', onclick: () => ask(compute(`servers/${id}/migrations/${migration.id}`), { method: 'DELETE' }) }, 'Abort the migration')
        : null;
      show(actions, actionButtons(server), abort);
    }
    show(fault, server.fault && server.status === 'ERROR' ? h('div', { className: 'notice bad' }, server.fault) : null);
    show(
      facts,
      fact('Id', h('span', { className: 'mono' }, server.id)),
      fact('Task', server.task_state),
      isOperator() ? fact('Host', server.host) : [],
      fact('Flavor', `${server.flavor}: ${server.vcpus} vCPU, ${bytes(server.ram * 1048576)} memory, ${server.disk} GiB disk`),
      fact('Image', server.image ? h('span', { className: 'mono' }, server.image) : null),
      fact('Address', server.address),
      fact('Project', server.project === current().projectId ? current().project : server.project),
      fact('Created', `${clock(server.created)} (${ago(server.created)})`),
      server.locked ? fact('Locked', 'yes') : [],
    );
    const underWay = server.task_state ?? '';
    if (underWay !== wasUnderWay) {
      wasUnderWay = underWay;
      readHistory();
    }
  };
  const stop = watch((kinds) => { if (kinds.has('server') || kinds.has('migration') || kinds.has('state')) draw(); });
  show(history, loading());
  show(console_, empty('Not read yet', 'The last 200 lines are read from the host when you ask.'));
  draw();
  return stop;
}

export { act };
