// The hosts with their load; a live migration is a block on its way from one to another.

import { ask, compute, may } from './api.js';
import { badge, bytes, confirmed, empty, h, loading, setText, show, toast } from './dom.js';
import { perform } from './servers.js';
import { store, watch } from './store.js';

// A picture with more blocks than this on one host is no picture any more.
const BLOCKS = 160;

const PHASES = {
  accepted: 'a destination is looked for', queued: 'waits for a free place', preparing: 'the hosts prepare',
  running: 'memory is copied', 'post-migrating': 'runs on the destination; cleaning up', reverting: 'is undone',
  'pre-migrating': 'the destination prepares', migrating: 'disks are moved', finished: 'waits to be confirmed',
  confirming: 'is confirmed',
};

function gauge(label) {
  const fill = h('span', { className: 'gauge-fill' });
  const text = h('span', { className: 'gauge-text' });
  const meter = h('span', { className: 'gauge', role: 'meter', 'aria-label': label, 'aria-valuemin': '0', 'aria-valuenow': '0' }, fill);
  return {
    element: h('div', { className: 'gauge-row' }, h('span', { className: 'gauge-label' }, label), meter, text),
    set(used, capacity, show_) {
      const part = capacity > 0 ? Math.min(1, used / capacity) : 0;
      fill.style.setProperty('--part', String(part));
      meter.classList.toggle('full', part > 0.9);
      meter.setAttribute('aria-valuemax', String(capacity));
      meter.setAttribute('aria-valuenow', String(used));
      setText(text, `${show_(used)} of ${show_(capacity)}`);
    },
  };
}

const mib = (count) => bytes(count * 1048576);
const gib = (count) => bytes(count * 1073741824);

async function change(host, body) {
  try {
    await ask(compute(`os-services/${host.service_id}`), { method: 'PUT', body });
    toast(`${host.hypervisor_hostname} is ${body.status}.`, 'good');
  } catch (error) {
    toast(error.message, 'bad');
  }
}

const on = (name) => [...store.servers.values()].filter((server) => server.host === name);

// Takes no more servers, and moves those that run away.
async function drain(host) {
  const name = host.hypervisor_hostname;
  const running = on(name).filter((server) => !server.task_state && ['active', 'paused'].includes(server.vm_state));
  const text = `It gets no new servers, and ${running.length} that run are live-migrated to others.`;
  if (!(await confirmed(`Drain ${name}?`, text, 'Drain'))) return;
  await change(host, { status: 'disabled', disabled_reason: 'drained' });
  for (const server of running) await perform(server, { action: 'os-migrateLive' });
}

function hostCard() {
  const name = h('h2');
  const state = h('span');
  const reason = h('p', { className: 'small faint' });
  const gauges = [gauge('vCPU'), gauge('Memory'), gauge('Disk')];
  const blocks = h('div', { className: 'blocks', role: 'list' });
  const buttons = h('div', { className: 'row' });
  const element = h('article', { className: 'host panel' }, h('div', { className: 'row' }, name, state), reason, gauges.map((it) => it.element), blocks, buttons);
  let drawn = '';
  return {
    element,
    blocks,
    set(host) {
      element.dataset.host = host.hypervisor_hostname;
      element.setAttribute('aria-label', host.hypervisor_hostname);
      blocks.setAttribute('aria-label', `Servers on ${host.hypervisor_hostname}`);
      setText(name, host.hypervisor_hostname);
      setText(reason, host.disabled_reason ?? '');
      gauges[0].set(host.vcpus_used, host.vcpus_capacity, String);
      gauges[1].set(host.memory_mb_used, host.memory_mb_capacity, mib);
      gauges[2].set(host.local_gb_used, host.local_gb_capacity, gib);
      const now = `${host.state} ${host.status}`;
      if (now === drawn) return;
      drawn = now;
      show(state, badge(host.state), ' ', host.status === 'disabled' ? badge('disabled') : null);
      if (!may('os_compute_api:os-services:update')) return;
      show(buttons, host.status === 'enabled'
        ? [
          h('button', { type: 'button', 'data-action': 'drain', onclick: () => drain(host) }, 'Drain'),
          h('button', { type: 'button', 'data-action': 'disable', onclick: () => change(host, { status: 'disabled' }) }, 'Disable'),
        ]
        : h('button', { type: 'button', 'data-action': 'enable', onclick: () => change(host, { status: 'enabled' }) }, 'Enable'));
    },
  };
}

function describe(server, migration) {
  const parts = [server.name, server.status, `${server.vcpus} vCPU`, mib(server.ram)];
  if (migration) parts.push(`${migration.source_compute} to ${migration.dest_compute ?? '?'}: ${migration.status}`);
  return parts.join(', ');
}

// A migration under way: a block between two hosts, as far as its memory is copied.
function flightRow() {
  const name = h('a');
  const from = h('span', { className: 'flight-end' });
  const to = h('span', { className: 'flight-end' });
  const block = h('span', { className: 'flight-block' });
  const track = h('span', { className: 'flight-track', role: 'progressbar', 'aria-label': 'Memory copied', 'aria-valuemin': '0', 'aria-valuemax': '100' }, block);
  const phase = h('span', { className: 'flight-phase' });
  const figures = h('span', { className: 'flight-figures' });
  return {
    element: h('li', { className: 'flight' }, name, h('div', { className: 'flight-way' }, from, track, to), h('div', { className: 'flight-text' }, phase, figures)),
    set(migration) {
      const server = store.servers.get(migration.instance_uuid);
      setText(name, server?.name ?? migration.instance_uuid);
      name.href = `#/servers/${migration.instance_uuid}`;
      setText(from, migration.source_compute);
      setText(to, migration.dest_compute ?? '?');
      const { memory_total_bytes: whole, memory_remaining_bytes: left } = migration;
      const there = migration.status === 'post-migrating' || migration.status === 'finished';
      const part = there ? 1 : whole > 0 ? Math.max(0, whole - left) / whole : 0;
      block.style.setProperty('--part', String(part));
      track.dataset.part = String(Math.round(part * 100));
      track.setAttribute('aria-valuenow', track.dataset.part);
      setText(phase, `${migration.status}: ${PHASES[migration.status] ?? ''}`);
      const rate = store.rates.get(migration.uuid);
      const known = whole > 0 ? [`${bytes(left)} of ${bytes(whole)} left`] : [];
      if (rate) known.push(`copied at ${bytes(rate.copied)}/s`, `written anew at ${bytes(rate.written)}/s`);
      setText(figures, known.join(' · '));
    },
  };
}

export function hostsPage(main) {
  const cards = new Map();
  const flights = new Map();
  const grid = h('div', { className: 'hosts' });
  const flightList = h('ul', { className: 'flights' });
  const under = h('section', { 'aria-labelledby': 'flights-title', hidden: true }, h('h2', { id: 'flights-title' }, 'On their way'), flightList);
  const count = h('span', { className: 'count' });
  const blockOf = new Map();
  show(main, h('div', { className: 'head' }, h('h1', null, 'Hosts'), count), under, grid);
  const wait = loading();
  grid.append(wait);

  const moving = () => new Map([...store.migrations.values()].map((it) => [it.instance_uuid, it]));

  function drawBlocks(name, card, all) {
    const servers = on(name).sort((a, b) => (a.name < b.name ? -1 : 1));
    const shown = servers.slice(0, BLOCKS);
    const wanted = new Set(shown.map((server) => server.id));
    for (const element of [...card.blocks.children]) if (!wanted.has(element.dataset.server)) element.remove();
    shown.forEach((server, index) => {
      let block = blockOf.get(server.id);
      if (!block) {
        block = h('a', { className: 'block', role: 'listitem', 'data-server': server.id, href: `#/servers/${server.id}` });
        blockOf.set(server.id, block);
      }
      const migration = all.get(server.id);
      const tone = migration ? 'moving' : server.status === 'ERROR' ? 'broken' : server.task_state ? 'busy' : server.vm_state === 'active' ? 'runs' : 'rests';
      block.className = `block ${tone}`;
      block.title = describe(server, migration);
      block.setAttribute('aria-label', block.title);
      block.style.setProperty('--size', String(Math.min(4, Math.max(1, server.vcpus))));
      if (card.blocks.children[index] !== block) card.blocks.insertBefore(block, card.blocks.children[index] ?? null);
    });
    card.element.dataset.more = servers.length > BLOCKS ? `and ${servers.length - BLOCKS} more` : '';
  }

  const draw = () => {
    const hosts = [...store.hosts.values()].sort((a, b) => a.hypervisor_hostname.localeCompare(b.hypervisor_hostname, undefined, { numeric: true }));
    setText(count, hosts.length ? String(hosts.length) : '');
    if (!hosts.length) {
      if (store.phase === 'ready' && store.stream === 'live' && !wait.isConnected && !grid.children.length) {
        grid.append(empty('There is no host', 'Start one: novella compute.'));
      }
      return;
    }
    wait.remove();
    const all = moving();
    for (const host of hosts) {
      const name = host.hypervisor_hostname;
      let card = cards.get(name);
      if (!card) {
        card = hostCard();
        cards.set(name, card);
        grid.append(card.element);
      }
      card.set(host);
      drawBlocks(name, card, all);
    }
    for (const id of blockOf.keys()) if (!store.servers.has(id)) { blockOf.get(id).remove(); blockOf.delete(id); }
    for (const [uuid, row] of flights) if (!store.migrations.has(uuid)) { row.element.remove(); flights.delete(uuid); }
    for (const migration of store.migrations.values()) {
      let row = flights.get(migration.uuid);
      if (!row) {
        row = flightRow();
        row.element.dataset.migration = migration.uuid;
        flights.set(migration.uuid, row);
        flightList.append(row.element);
      }
      row.set(migration);
    }
    under.hidden = flights.size === 0;
  };
  draw();
  return watch(draw);
}
