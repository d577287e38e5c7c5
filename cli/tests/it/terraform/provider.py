"""The resources of terraform-provider-openstack, as far as a network with a server on it needs them.

Each asks what the provider's own file of that name asks (its version of July 2026 on gophercloud v2), in its order and
with its waits: what it creates it reads again and again until the state is one that the provider waits for, and a state
that the provider does not expect on the way is an error here as there. Two things differ: it looks again at once and
not after three seconds, and it gives up after one minute.
"""

import time

LIMIT = 60


class Answer:
    def __init__(self, response):
        self.status = response.status_code
        self.text = response.text
        self.body = response.json() if response.content and 'json' in response.headers.get('Content-Type', '') else {}

    def __getitem__(self, key):
        return self.body[key]


class Provider:
    def __init__(self, cloud):
        self.services = {'compute': cloud.compute, 'network': cloud.network, 'image': cloud.image}

    def ask(self, service, method, path, body=None, microversion=None, taken=(), **more):
        """Asks. Whatever is no success, and not among the statuses that the provider takes, ends the run."""
        response = self.services[service].request(
            path, method, json=body, microversion=microversion, raise_exc=False, **more)
        answer = Answer(response)
        if not (200 <= answer.status < 300 or answer.status in taken):
            raise SystemExit(f'{method} {path} {body}: {answer.status} {answer.text}')
        return answer


def wait(what, look, targets, pending=()):
    """Until the state is one of `targets`. Another one than those `pending` is an error, if any are named."""
    begun = time.monotonic()
    while True:
        state = look()
        if state in targets:
            return
        if pending and state not in pending:
            raise SystemExit(f'{what} is {state}, expected {pending} and then {targets}')
        if time.monotonic() - begun > LIMIT:
            raise SystemExit(f'{what} is still {state}, not {targets}')
        time.sleep(0.02)


def given(**attributes):
    """As Go leaves out what is empty."""
    return {name: value for name, value in attributes.items() if value not in (None, '', [], {})}


class Resource:
    """Something that Terraform looks after: what was asked for it (`asked`), and what was read of it last (`state`)."""

    def __init__(self, provider, label, /, **asked):
        self.provider, self.label, self.asked = provider, label, asked
        self.id = None
        self.state = None
        self.create()
        self.state = self.read()

    def ask(self, *arguments, **more):
        return self.provider.ask(self.service, *arguments, **more)

    def get(self, name):
        return self.asked.get(name)

    def change(self, **asked):
        """Another text for it, and an apply."""
        changed = {name for name, value in asked.items() if self.asked.get(name) != value}
        before = dict(self.asked)
        self.asked.update(asked)
        self.update(changed, before)
        self.state = self.read()

    def differences(self):
        """What a plan would change: where it is other than asked for."""
        read = self.read()
        return {name: (value, read[name]) for name, value in self.asked.items()
                if name in read and self.comparable(name, read[name]) != self.comparable(name, value)}

    def comparable(self, name, value):
        return sorted(value, key=str) if name in self.sets else value

    sets = ('tags',)
