"""Asks a cloud for everything that Nova has, rightly and wrongly, at Nova's microversions, and holds what it answers
against Nova's own schemas.

    python sweep.py URL PASSWORD [--whole] [--only REGEX] [--seed N] [--traffic FILE]

At each version at which something changes, each operation is asked for with a part of what there is to ask; with
--whole, with a larger one, and with a small one at every version from 2.1 on. The seed says which parts. Needs the
package nova.
"""
import argparse
import json
import multiprocessing
import random
import re
import sys
from collections import Counter

import deviations
from cases import Cases
from cloud import Client, Things
from rules import Rules, Violation, text_of

WORKERS = 3
# How many cases of one operation at one version, of which there are more: where something changes, in a whole sweep and in
# a quick one; at the other versions; and of an action that takes anything.
MANY, PART, FEW = 80, 40, 2
# OpenStack's services take bodies of 112 KiB.
LONGEST = 110_000


def asked(operation, at, cases, chance, part):
    """(what it is, query, body) for one operation at one version, the plain ones first."""
    if not operation.served(at):
        return [('not there', {}, {operation.action: None} if operation.action else body_of(operation, at, cases))]
    everything = []
    if operation.query(at) is not None:
        everything += [(what, query, body_of(operation, at, cases)) for what, query in cases.queries(operation.query(at))]
    body = operation.body(at)
    if body is not None:
        everything += [(what, {}, value) for what, value in cases.cases(body.schema) if value is not None]
        # An action is known by the one key of its body.
        if operation.action:
            everything = [one for one in everything if one[2] is None or (
                isinstance(one[2], dict) and list(one[2]) == [operation.action])]
    if not everything:
        everything = [('plain', {}, {operation.action: None} if operation.action else body_of(operation, at, cases))]
    seen, different = set(), []
    for one in everything:
        key = json.dumps(one[1:], sort_keys=True)
        if key not in seen and len(key) < LONGEST:
            seen.add(key)
            different.append(one)
    # What stands behind the name of some actions does not matter.
    if operation.action and body is not None and not body.schema.get('properties', {}).get(operation.action):
        part = FEW
    if len(different) <= part:
        return different
    return different[:2] + chance.sample(different[2:], part - 2)


def body_of(operation, at, cases):
    """A body for an operation that has no schema at this version."""
    if operation.method not in ('POST', 'PUT'):
        return None
    schema = operation.body(at) or next((schema for schema, _, _ in reversed(operation.bodies)), None)
    return cases.canonical(schema.schema) if schema else {}


def work(arguments):
    worker, options, names = arguments
    rules = Rules()
    client = Client(options.url, options.password)
    things = Things(client, worker)
    chance = random.Random(f'{options.seed}')
    violations, seen, count = [], Counter(), 0
    traffic = open(f'{options.traffic}.{worker}', 'w') if options.traffic else None
    operations = [operation for found in rules.by_route.values() for operation in found if operation.name in names]
    for operation in operations:
        changes = operation.changes()
        for at in [(2, minor) for minor in range(1, 105)] if options.whole else changes:
            things.renew(operation)
            cases = Cases(things.known())
            part = FEW if at not in changes else MANY if options.whole else PART
            for what, query, body in asked(operation, at, cases, chance, part):
                path = things.fill(operation, at)
                exchange = client.ask(operation.method, path, at, query, rename(body, things))
                count += 1
                if exchange.status < 400:
                    seen[operation.name] += 1
                if traffic:
                    print(json.dumps([what, *exchange]), file=traffic)
                found = rules.violations(exchange)
                # What is there is asked about, so what is refused is refused for its form.
                if operation.served(at) and exchange.status != 400:
                    form = rules.refusal_of_form(exchange, operation, at)
                    if form and not found:
                        found = [Violation(operation.name, f'Nova refuses this request with 400, answered with '
                                                           f'{exchange.status}: {form[:200]}', exchange)]
                violations += [(one, what) for one in found]
                things.tidy(operation, exchange, path)
                if exchange.status in (202, 204, 404, 409) and exchange.method != 'GET' and operation.served(at):
                    things.renew(operation)
    return violations, seen, count


def rename(body, things):
    """A name of its own for what is made, so that it is not refused because there is one of that name."""
    if isinstance(body, dict):
        for key in ('flavor', 'keypair', 'aggregate'):
            inner = body.get(key)
            if isinstance(inner, dict) and inner.get('name') in ('a', 'a name'):
                return {**body, key: {**inner, 'name': things.name()}}
    return body


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('url')
    parser.add_argument('password')
    parser.add_argument('--whole', action='store_true')
    parser.add_argument('--only', default='')
    parser.add_argument('--seed', default='1')
    parser.add_argument('--traffic')
    options = parser.parse_args()
    rules = Rules()
    names = [operation.name for found in rules.by_route.values() for operation in found
             if re.search(options.only, operation.name)]
    shares = [names[worker::WORKERS] for worker in range(WORKERS)]
    context = multiprocessing.get_context('fork')
    with context.Pool(WORKERS) as pool:
        results = pool.map(work, [(worker, options, set(share)) for worker, share in enumerate(shares)], 1)
    violations = [one for found, _, _ in results for one in found]
    count = sum(count for _, _, count in results)
    answered = set().union(*(seen for _, seen, _ in results))
    report(violations, count, names, answered)
    sys.exit(1 if deviations.unexpected(violations) else 0)


def kind_of(text):
    """What is wrong, without the values."""
    text = re.sub(r"(field/attribute|query parameters) (\S+?)\. Value: .*", r'\1 \2', text)
    return re.sub(r"^(.*?: )?('.*'|\S+) (is not of type|is a required|does not match|is too long)", r'\1 \3', text)[:160]


def report(violations, count, names, answered):
    unexpected = deviations.unexpected(violations)
    by_kind = {}
    for violation, what in unexpected:
        by_kind.setdefault((violation.operation, kind_of(violation.what)), []).append((violation, what))
    for (operation, _), found in sorted(by_kind.items(), key=lambda item: (item[0][0], -len(item[1]))):
        violation, what = found[0]
        exchange = violation.exchange
        print(f'{len(found):4} {operation}: {violation.what[:300]}\n'
              f'       at {exchange.version}, {what}: {exchange.path} {exchange.query or ""} '
              f'{json.dumps(exchange.request)[:300]}\n       {exchange.status} {text_of(exchange.answer)[:200]}')
    print('Never answered with what was asked for:', ', '.join(sorted(set(names) - answered)))
    print(f'{count} requests of {len(names)} operations, {len(answered)} of them answered with what was asked for; '
          f'{len(violations) - len(unexpected)} known deviations, {len(unexpected)} violations')


if __name__ == '__main__':
    main()
