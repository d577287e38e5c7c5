"""Nova's operations and their schemas, as the installed package `nova` has them. Nova is imported and never started."""
import copy
import warnings

warnings.simplefilter('ignore')

from nova import exception  # noqa: E402
from nova.api.openstack.compute import routes  # noqa: E402
from nova.api.validation import validators  # noqa: E402

NEWEST = (2, 104)


def version(text):
    return None if text is None else tuple(int(part) for part in text.split('.'))


def within(at, low, high):
    return (low is None or at >= low) and (high is None or at <= high)


class Schema:
    """What a body or a query has to look like; `refuses` gives Nova's reason, or None."""

    def __init__(self, schema, is_body):
        self.schema = schema
        self.validator = validators._SchemaValidator(schema, False, is_body)

    def refuses(self, value):
        try:
            # Nova's validator takes away what a lenient schema does not know.
            self.validator.validate(copy.deepcopy(value))
        except exception.ValidationError as error:
            return ' '.join(str(error).split())
        except UnicodeError as error:
            # Nova itself breaks on this, in reading base64.
            return f'{error}'
        return None


class Operation:
    """One method of one path, or one action of it."""

    def __init__(self, path, method, action, function):
        self.path, self.method, self.action = path, method, action
        self.name = f'{method} {path}' + (f' {action}' if action else '')
        self.removed = bool(getattr(function, 'removed', False))
        self.errors, self.low, self.high = [], None, None
        for names in closures(function):
            if 'errors' in names:
                errors = names['errors'] if isinstance(names['errors'], (tuple, list)) else [names['errors']]
                self.errors.append((set(errors), version(names.get('min_version')), version(names.get('max_version'))))
            elif 'min_version' in names:
                self.low, self.high = version(names['min_version']), version(names['max_version'])
        codes = getattr(function, 'wsgi_codes', None)
        self.codes = [(code, number(low), number(high)) for code, low, high in codes._codes] if codes else []
        self.bodies = schemas(function, 'request_body_schemas', True)
        self.queries = schemas(function, 'request_query_schemas', False)
        self.answers = schemas(function, 'response_body_schemas', True)

    def served(self, at):
        return not self.removed and within(at, self.low, self.high)

    def body(self, at):
        return at_version(self.bodies, at)

    def query(self, at):
        return at_version(self.queries, at)

    def answer(self, at):
        return at_version(self.answers, at)

    def success(self, at):
        return {code for code, low, high in self.codes if within(at, low, high)} or {200}

    def declared_errors(self, at):
        return {code for codes, low, high in self.errors if within(at, low, high) for code in codes}

    def changes(self):
        """The versions at which something is another than before, and those outside of which it is not there."""
        versions = {(2, 1), NEWEST}
        for _, low, high in self.bodies + self.queries + self.answers + self.codes + [(None, self.low, self.high)]:
            if low:
                versions |= {low, (2, low[1] - 1)}
            if high:
                versions |= {high, (2, high[1] + 1)}
        return sorted(at for at in versions if (2, 1) <= at <= NEWEST)


def at_version(schemas, at):
    return next((schema for schema, low, high in schemas if within(at, low, high)), None)


def number(given):
    if isinstance(given, str):
        return version(given)
    return None if given is None or given.is_null() else version(given.get_string())


def schemas(function, name, is_body):
    found = getattr(function, name, None)
    return [(Schema(schema, is_body), number(low), number(high)) for schema, low, high in found._schemas] if found else []


def closures(function):
    """What Nova's decorators around a function were given."""
    while function is not None:
        if getattr(function, '__closure__', None) and function.__code__.co_filename.endswith('openstack/wsgi.py'):
            yield dict(zip(function.__code__.co_freevars, [cell.cell_contents for cell in function.__closure__]))
        function = getattr(function, '__wrapped__', None)


def operations():
    found = []
    for path, methods in routes.ROUTE_LIST:
        if isinstance(methods, str):
            continue
        for method, (controller, function) in methods.items():
            main, parts = controller.args
            if function != 'action':
                found.append(Operation(path, method, None, getattr(main, function)))
                continue
            for kind in [main, *parts]:
                for action, name in kind.wsgi_actions.items():
                    found.append(Operation(path, method, action, getattr(kind, name)))
    return found
