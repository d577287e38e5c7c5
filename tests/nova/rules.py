"""What an exchange with Compute has to hold to, by Nova's own schemas."""
import re
from collections import namedtuple

from operations import NEWEST, operations, version

# method, path (below /compute/v2.1), query (name -> list of values), version (text or None), request (JSON), status,
# answer (JSON), headers (lower case).
Exchange = namedtuple('Exchange', 'method path query version request status answer headers')
Violation = namedtuple('Violation', 'operation what exchange')

# Errors that any operation may answer with.
GENERAL = {400, 401, 403, 404, 405, 406, 413, 415, 501, 503}
# Answers that a handler of Nova's chooses by itself, past what it declares.
CHOSEN = {
    ('PUT', '/servers/{server_id}/tags/{id}'): {201, 204},
    ('GET', '/'): {200, 300},
    ('POST', '/os-server-external-events'): {200, 207},
    ('POST', '/servers/{server_id}/os-volume_attachments'): {200, 202},
}
# How a refusal of the form of something begins; anything else that is refused with 400 is refused for what it means.
OF_FORM = re.compile(r'Invalid input( for|:)|Additional properties are not allowed|Malformed request body|The query is not')


class Rules:
    def __init__(self):
        self.by_route = {}
        for operation in operations():
            self.by_route.setdefault((operation.method, operation.path), []).append(operation)
        self.routes = [
            (method, re.compile('^' + re.sub(r'\{\w+\}', r'[^/]+', path).rstrip('/') + '/?$'), path, path.count('{'))
            for method, path in self.by_route]

    def operation(self, method, path, request):
        """The operation that is asked for; the name of the route if it is an action that Nova does not have; None."""
        fits = [(count, route) for known, pattern, route, count in self.routes if known == method and pattern.match(path)]
        if not fits:
            return None
        route = min(fits)[1]
        found = self.by_route[method, route]
        if found[0].action is None:
            return found[0]
        action = next(iter(request), None) if isinstance(request, dict) else None
        return next((one for one in found if one.action == action), route)

    def violations(self, exchange):
        operation = self.operation(exchange.method, exchange.path or '/', exchange.request)
        name = getattr(operation, 'name', f'{exchange.method} {exchange.path}')
        return [Violation(name, what, exchange) for what in self.check(exchange, operation)]

    def check(self, exchange, operation):
        status = exchange.status
        if status >= 500 and status not in (501, 503):
            yield f'answered with {status}'
            return
        if not exchange.headers.get('x-openstack-request-id'):
            yield 'no header x-openstack-request-id'
        if operation is None:
            if status not in (404, 405):
                yield f'no such path in Nova, answered with {status}'
            return
        if isinstance(operation, str):
            if status not in (400, 401, 403, 404, 413):
                yield f'no such action in Nova, answered with {status}'
            return
        at = asked_version(exchange.version)
        if at > NEWEST:
            return
        if operation.removed:
            if status not in (400, 401, 403, 404, 410):
                yield f'removed from Nova, answered with {status}'
            return
        if not operation.served(at):
            if status not in (400, 401, 403, 404):
                yield f'not in this version, answered with {status}'
            return
        form = self.refusal_of_form(exchange, operation, at)
        if form is not None and status not in (400, 401, 403, 404, 413):
            yield f'Nova refuses this request, answered with {status}: {form[:200]}'
        if status >= 400:
            if status not in operation.declared_errors(at) | GENERAL:
                yield f'answered with {status}, Nova declares {sorted(operation.declared_errors(at))}'
            if status == 400 and form is None and OF_FORM.match(text_of(exchange.answer)):
                yield f'Nova takes this request, refused for its form: {text_of(exchange.answer)[:200]}'
            return
        allowed = operation.success(at) | CHOSEN.get((operation.method, operation.path), set())
        if status not in allowed:
            yield f'answered with {status}, Nova declares {sorted(allowed)}'
        schema = operation.answer(at)
        if schema is not None and exchange.method != 'HEAD':
            wrong = schema.refuses(exchange.answer)
            if wrong:
                yield f'the answer: {wrong[:300]}'
        if exchange.version and re.match(r'^\d', exchange.version):
            echoed = exchange.headers.get('openstack-api-version', '').split()[-1:]
            if echoed != ['%d.%d' % at] and exchange.headers.get('x-openstack-nova-api-version') != '%d.%d' % at:
                yield 'the version is not echoed'

    @staticmethod
    def refusal_of_form(exchange, operation, at):
        """Why Nova refuses the form of the body or of the query, or None."""
        body, query = operation.body(at), operation.query(at)
        if body is not None and exchange.request is not None:
            refused = body.refuses(exchange.request)
            if refused:
                return refused
        if query is not None:
            return query.refuses(exchange.query)
        return None


def asked_version(text):
    text = (text or '2.1').split()[-1]
    return NEWEST if text == 'latest' else version(text) if re.match(r'^\d+\.\d+$', text) else (2, 1)


def text_of(answer):
    """The text of an error."""
    if isinstance(answer, dict):
        for value in answer.values():
            if isinstance(value, dict) and isinstance(value.get('message'), str):
                return value['message']
    return ''
