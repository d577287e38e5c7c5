// Logging in, with what `novella up` has printed.

import { logIn } from './api.js';
import { h, show } from './dom.js';

export function loginPage(main, entered) {
  const problem = h('p', { className: 'problem', role: 'alert', id: 'login-problem' });
  const user = h('input', { id: 'user', name: 'username', autocomplete: 'username', required: true, autofocus: true });
  const password = h('input', { id: 'password', type: 'password', autocomplete: 'current-password', required: true });
  const project = h('input', { id: 'project', autocomplete: 'off', placeholder: 'your first one' });
  const domain = h('input', { id: 'domain', autocomplete: 'off', value: 'Default', required: true });
  const button = h('button', { type: 'submit', className: 'primary' }, 'Log in');
  const form = h(
    'form',
    {
      className: 'login',
      onsubmit: async (event) => {
        event.preventDefault();
        problem.textContent = '';
        button.disabled = true;
        try {
          await logIn(user.value.trim(), password.value, domain.value.trim(), project.value.trim());
          password.value = '';
          entered();
        } catch (error) {
          problem.textContent = error.status === 401 ? 'No user of this name has this password.' : error.message;
          button.disabled = false;
          password.select();
        }
      },
    },
    h('img', { src: 'icon.svg', alt: '', width: 44, height: 44 }),
    h('h1', null, 'Log in'),
    h('label', { htmlFor: 'user' }, 'User'),
    user,
    h('label', { htmlFor: 'password' }, 'Password'),
    password,
    h(
      'details',
      null,
      h('summary', null, 'Project and domain'),
      h('label', { htmlFor: 'project' }, 'Project'),
      project,
      h('label', { htmlFor: 'domain' }, 'Domain'),
      domain,
    ),
    problem,
    button,
    h('p', { className: 'small faint' }, 'The user and the password are those that ', h('code', null, 'novella up'), ' has printed, and ', h('code', null, 'novella env'), ' prints.'),
  );
  show(main, form);
  user.focus();
}
