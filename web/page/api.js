// The public API, asked with the user's own token. The page is at BASE/ui/.

const BASE = new URL('..', document.baseURI);
const KEY = 'novella.session';
const COMPUTE = 'compute 2.87';

let session = JSON.parse(sessionStorage.getItem(KEY) ?? 'null');
let onExpired = () => {};

export class ApiError extends Error {
  constructor(status, message, requestId) {
    super(message);
    this.status = status;
    this.requestId = requestId;
  }
}

export const current = () => session;
export const whenExpired = (handler) => { onExpired = handler; };
export const may = (rule) => session?.rights?.rules.includes(rule) ?? false;
export const isOperator = () => may('cloud:events:all_projects');

function keep(next) {
  session = next;
  if (next) sessionStorage.setItem(KEY, JSON.stringify(next));
  else sessionStorage.removeItem(KEY);
}

export function expire() {
  if (!session) return;
  keep(null);
  onExpired();
}

function messageIn(body, status) {
  const error = body && typeof body === 'object' ? Object.values(body)[0] : null;
  return error?.message ?? body?.message ?? `The cloud has answered with status ${status}.`;
}

export async function open(path, { method = 'GET', body, headers = {}, signal } = {}) {
  const all = { Accept: 'application/json', ...headers };
  if (session) all['X-Auth-Token'] = session.token;
  if (path.startsWith('compute/')) all['OpenStack-API-Version'] = COMPUTE;
  if (body !== undefined) all['Content-Type'] = 'application/json';
  const options = { method, headers: all, signal, cache: 'no-store', credentials: 'omit' };
  if (body !== undefined) options.body = JSON.stringify(body);
  let response;
  try {
    response = await fetch(new URL(path, BASE), options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'The cloud does not answer.');
  }
  if (response.ok) return response;
  const text = await response.text();
  let parsed = null;
  try { parsed = JSON.parse(text); } catch { /* Not from the API, but from something before it. */ }
  if (response.status === 401 && session) expire();
  throw new ApiError(response.status, messageIn(parsed, response.status), response.headers.get('x-openstack-request-id'));
}

export async function ask(path, options) {
  const response = await open(path, options);
  const text = await response.text();
  return { data: text ? JSON.parse(text) : null, requestId: response.headers.get('x-openstack-request-id') };
}

export const get = async (path) => (await ask(path)).data;

export const compute = (path) => `compute/v2.1/${path}`;

// Every page of a list.
export async function all(path, key) {
  const found = [];
  let next = path;
  while (next) {
    const data = await get(next);
    found.push(...data[key]);
    const href = data[`${key}_links`]?.find((link) => link.rel === 'next')?.href;
    next = href ? `${path.split('?')[0]}${new URL(href).search}` : null;
  }
  return found;
}

async function token(identity, scope) {
  const response = await open('identity/v3/auth/tokens?nocatalog', {
    method: 'POST',
    body: { auth: { identity, scope } },
  });
  return { text: response.headers.get('x-subject-token'), data: (await response.json()).token };
}

// Logs in. Without a project the user's own choice is the first one that the user has a role in.
export async function logIn(name, password, domain, project) {
  const user = { name, password, domain: { name: domain } };
  const identity = { methods: ['password'], password: { user } };
  keep(null);
  let chosen = project ? { name: project, domain: { name: domain } } : null;
  if (!chosen) {
    const unscoped = await token(identity, 'unscoped');
    const own = await ask('identity/v3/auth/projects', { headers: { 'X-Auth-Token': unscoped.text } });
    const named = own.data.projects.find((it) => it.name === name) ?? own.data.projects[0];
    if (!named) throw new ApiError(403, 'You have a role in no project. Ask who runs this cloud for one.');
    chosen = { id: named.id };
  }
  await enter(await token(identity, { project: chosen }));
}

async function enter(got) {
  keep({
    token: got.text,
    user: got.data.user.name,
    project: got.data.project.name,
    projectId: got.data.project.id,
    expires: got.data.expires_at,
    rights: null,
  });
  const { rights } = await get('cloud/v1/rights');
  keep({ ...session, rights });
}

export const projects = async () => (await get('identity/v3/auth/projects')).projects;

// The same user in another project.
export async function changeProject(id) {
  const identity = { methods: ['token'], token: { id: session.token } };
  await enter(await token(identity, { project: { id } }));
}

export async function logOut() {
  const text = session?.token;
  try {
    if (text) await open('identity/v3/auth/tokens', { method: 'DELETE', headers: { 'X-Subject-Token': text } });
  } catch { /* It ends by itself. */ }
  keep(null);
}

// What the table of states and the policy allow of a server now.
export function actionsOf(server) {
  return (session?.rights?.actions ?? []).filter((right) => {
    if (!right.vm_states.includes(server.vm_state)) return false;
    if (server.task_state && right.task_states && !right.task_states.includes(server.task_state)) return false;
    return !right.needs_host || server.has_host;
  });
}
