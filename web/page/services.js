// The services of the cloud: who is up, and when each was heard.

import { compute, get } from './api.js';
import { ago, badge, clock, empty, failure, h, loading, show } from './dom.js';
import { store, watch } from './store.js';

const KINDS = { 'nova-api': 'api', 'nova-scheduler': 'scheduler', 'nova-conductor': 'conductor', 'nova-compute': 'compute' };

export function servicesPage(main) {
  const place = h('div', { className: 'panel' }, loading());
  const release = h('span', { className: 'count' });
  const heard = new Map();
  let error = null;
  show(main, h('div', { className: 'head' }, h('h1', null, 'Services'), release), place);

  const draw = () => {
    const all = [...store.services.values()];
    if (error && !all.length) return show(place, failure(error, read));
    if (!all.length) return;
    const order = Object.keys(KINDS);
    all.sort((a, b) => order.indexOf(a.binary) - order.indexOf(b.binary) || a.host.localeCompare(b.host, undefined, { numeric: true }));
    const down = all.filter((service) => service.state === 'down').length;
    show(
      place,
      down ? h('div', { className: 'notice bad' }, `${down} of ${all.length} services are down.`) : null,
      h(
        'table',
        null,
        h('thead', null, h('tr', null, ['Service', 'Host', 'Zone', 'State', 'Status', 'Since', 'Last heard'].map((it) => h('th', { scope: 'col' }, it)))),
        h('tbody', null, all.map((service) => {
          const last = heard.get(service.id);
          return h(
            'tr',
            { 'data-service': `${service.binary}.${service.host}` },
            h('td', null, KINDS[service.binary] ?? service.binary),
            h('td', null, service.host),
            h('td', null, service.zone),
            h('td', null, badge(service.state)),
            h('td', null, badge(service.status), service.disabled_reason ? h('span', { className: 'faint' }, ` ${service.disabled_reason}`) : null),
            h('td', { title: clock(service.since) }, ago(service.since)),
            h('td', { title: last ? clock(last) : '' }, last ? ago(last) : ''),
          );
        })),
      ),
    );
  };
  const read = async () => {
    try {
      const { services } = await get(compute('os-services'));
      for (const service of services) heard.set(service.id, service.updated_at);
      error = null;
    } catch (problem) {
      error = problem;
    }
    draw();
    if (!store.services.size && !error && store.stream === 'live') show(place, empty('No service', 'No service has been heard yet.'));
  };
  read();
  get('').then((data) => { release.textContent = data?.release ? `release ${data.release}` : ''; }).catch(() => {});
  const clockwork = setInterval(read, 5000);
  const stop = watch((kinds) => { if (kinds.has('service')) draw(); });
  return () => {
    clearInterval(clockwork);
    stop();
  };
}
