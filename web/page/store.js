// What the page knows: read once as lists, kept up by events.

import { all, ask, compute, current, isOperator, may } from './api.js';
import { follow } from './events.js';

const listeners = new Set();

export const store = {
  servers: new Map(),
  migrations: new Map(),
  hosts: new Map(),
  services: new Map(),
  // Not yet read; read; why it could not be.
  phase: 'loading',
  error: null,
  // Whether what is shown is what there is: live, stale, broken.
  stream: 'broken',
  // Bytes per second that a migration copies and its guest writes anew, by the last events.
  rates: new Map(),
};

let stream = null;
let everyProject = false;

export const watchesAll = () => everyProject;

// Calls `listener` after changes, at most once a frame. Returns what ends that.
export function watch(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function changed(kinds) {
  for (const listener of [...listeners]) listener(kinds);
}

function fromList(server) {
  return {
    id: server.id,
    name: server.name,
    status: server.status,
    vm_state: server['OS-EXT-STS:vm_state'],
    task_state: server['OS-EXT-STS:task_state'],
    power_state: server['OS-EXT-STS:power_state'],
    host: server['OS-EXT-SRV-ATTR:host'] ?? null,
    has_host: server['OS-EXT-STS:vm_state'] !== 'building' && server.hostId !== '',
    project: server.tenant_id,
    flavor: server.flavor?.original_name ?? '',
    vcpus: server.flavor?.vcpus ?? 0,
    ram: server.flavor?.ram ?? 0,
    disk: server.flavor?.disk ?? 0,
    image: typeof server.image === 'object' ? server.image?.id ?? null : null,
    address: Object.values(server.addresses ?? {}).flat()[0]?.addr ?? null,
    locked: server.locked ?? false,
    fault: server.fault?.message ?? null,
    created: server.created,
    updated: Date.parse(server.updated),
  };
}

function fromEvent(data) {
  return {
    id: data.id,
    name: data.name,
    status: data.status,
    vm_state: data['OS-EXT-STS:vm_state'],
    task_state: data['OS-EXT-STS:task_state'],
    power_state: data['OS-EXT-STS:power_state'],
    host: data['OS-EXT-SRV-ATTR:host'] ?? null,
    has_host: data['OS-EXT-SRV-ATTR:host'] !== null && data['OS-EXT-STS:vm_state'] !== 'building',
    project: data.tenant_id,
    flavor: data.flavor.original_name,
    vcpus: data.flavor.vcpus,
    ram: data.flavor.ram,
    disk: data.flavor.disk,
    image: data.image,
    address: data.address,
    locked: data.locked,
    fault: data.fault?.message ?? null,
    request: data.request_id,
    created: data.created,
    updated: Date.parse(data.updated),
  };
}

export const hasEnded = (migration) =>
  ['completed', 'cancelled', 'error', 'failed', 'confirmed', 'reverted'].includes(migration.status);

function rate(before, now) {
  const seconds = (now.at - before.at) / 1000;
  if (seconds <= 0 || now.memory_processed_bytes <= before.memory_processed_bytes) return;
  const copied = now.memory_processed_bytes - before.memory_processed_bytes;
  const written = copied + now.memory_remaining_bytes - before.memory_remaining_bytes;
  store.rates.set(now.uuid, { copied: copied / seconds, written: Math.max(0, written) / seconds });
}

const take = {
  server(data) {
    const known = store.servers.get(data.id);
    const server = fromEvent(data);
    if (known && known.updated > server.updated) return;
    if (server.status === 'DELETED') store.servers.delete(data.id);
    else store.servers.set(data.id, server);
  },
  migration(data) {
    const known = store.migrations.get(data.uuid);
    const migration = { ...data, at: Date.parse(data.updated_at) };
    if (known && known.at > migration.at) return;
    if (known) rate(known, migration);
    if (hasEnded(migration)) {
      store.migrations.delete(data.uuid);
      store.rates.delete(data.uuid);
    } else {
      store.migrations.set(data.uuid, migration);
    }
  },
  host(data) {
    store.hosts.set(data.hypervisor_hostname, data);
  },
  service(data) {
    store.services.set(data.id, data);
  },
};

async function readLists() {
  const tenants = everyProject ? '?all_tenants=1' : '';
  const mine = stream;
  try {
    const listed = may('os_compute_api:os-migrations:index') ? all(compute('os-migrations'), 'migrations') : [];
    const [servers, migrations] = await Promise.all([all(compute(`servers/detail${tenants}`), 'servers'), listed]);
    if (mine !== stream) return;
    for (const migration of migrations) {
      if (hasEnded(migration) || store.migrations.has(migration.uuid)) continue;
      const unknown = { memory_total_bytes: 0, memory_processed_bytes: 0, memory_remaining_bytes: 0 };
      store.migrations.set(migration.uuid, { ...unknown, ...migration, at: Date.parse(`${migration.updated_at}Z`) });
    }
    const found = new Map(servers.map((server) => [server.id, fromList(server)]));
    // What an event has told of meanwhile is newer.
    for (const [id, known] of store.servers) {
      const read = found.get(id);
      if (read ? known.updated > read.updated + 1000 : known.updated > mine.began) found.set(id, known);
    }
    store.servers = found;
    store.phase = 'ready';
    store.error = null;
  } catch (error) {
    if (mine !== stream || !current()) return;
    store.phase = 'failed';
    store.error = error;
  }
  changed(new Set(['server', 'migration', 'state']));
}

export const reread = readLists;

export function begin(every = isOperator()) {
  end();
  everyProject = every && isOperator();
  store.phase = 'loading';
  const handle = follow(everyProject ? '?all_projects=1' : '', {
    onEvents(events) {
      const kinds = new Set();
      for (const { event, data } of events) {
        take[event]?.(data);
        kinds.add(event);
      }
      changed(kinds);
    },
    onState(state) {
      const before = store.stream;
      store.stream = state;
      // The first time, and after a break in which a list could not be read.
      if (state === 'live' && store.phase !== 'ready') readLists();
      if (before !== state) changed(new Set(['state']));
    },
    onLost: readLists,
  });
  stream = { handle, began: Date.now() };
}

export function end() {
  stream?.handle.stop();
  stream = null;
  for (const map of [store.servers, store.migrations, store.hosts, store.services, store.rates]) map.clear();
  store.stream = 'broken';
}

export const migrationOf = (id) => [...store.migrations.values()].find((it) => it.instance_uuid === id);

// Asks for something, and says under which request.
export async function act(server, body) {
  return ask(compute(`servers/${server.id}/action`), { method: 'POST', body });
}
