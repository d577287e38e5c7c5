"""Values good and bad for a JSON schema. Which is which, is for Nova's validator to say."""
import base64
import copy
import json
import uuid

from operations import Schema

LONG = 70000
FORMATS = {
    'uuid': [str(uuid.UUID(int=7))], 'ipv4': ['192.0.2.7'], 'ipv6': ['2001:db8::7'], 'uri': ['http://example.org/'],
    'base64': [base64.b64encode(b'text').decode()], 'date-time': ['2026-01-31T12:00:00Z'], 'cidr': ['192.0.2.0/24'],
    'regex': ['a.*'], 'name': ['a name'], 'name_with_leading_trailing_spaces': [' a name '], 'az_name': ['nova'],
    'az_name_with_leading_trailing_spaces': ['nova'],
}
TEXTS = ['a', '1', 'ab', 'true', '/dev/vdb', '1.5', '/64', '', ' ', ' a ', 'ä€', 'a:b', 'a/b', 'a,b', '-1', '0', 'no such']
NUMBERS = [0, 1, -1, 7, 1.5, 2147483647, 2147483648, 2**40]
OTHERS = [None, True, [], {}, [1], {'a': 'b'}]


class Cases:
    """`known` has values by the names of fields: what is there in the cloud."""

    def __init__(self, known):
        self.known = known

    def canonical(self, schema, name=''):
        """A value with no more than what is required; one that is good, if one is found."""
        if not isinstance(schema, dict):
            return 'a'
        for value in self.known_values(name):
            if fits(schema, value):
                return value
        if 'enum' in schema:
            return schema['enum'][0]
        for one in ('oneOf', 'anyOf'):
            if one in schema:
                rest = {key: value for key, value in schema.items() if key != one}
                return self.canonical(merged(rest, schema[one][0]), name)
        if 'allOf' in schema:
            rest = {key: value for key, value in schema.items() if key != 'allOf'}
            for part in schema['allOf']:
                rest = merged(rest, part)
            return self.canonical(rest, name)
        kind = types(schema)[0]
        if kind == 'object':
            if 'patternProperties' in schema:
                value = {'key': self.canonical(next(iter(schema['patternProperties'].values())), 'key')}
                return value if schema.get('minProperties') else {}
            properties = schema.get('properties', {})
            return {key: self.canonical(properties.get(key, {}), key) for key in schema.get('required', [])}
        if kind == 'array':
            items = schema.get('prefixItems', [schema.get('items', {})])[0]
            return [self.canonical(items, name)] * schema.get('minItems', 0)
        return next((value for value in simple(schema) if fits(schema, value)), None)

    def known_values(self, name):
        return self.known.get(name, [])

    def cases(self, schema, name=''):
        """(what it is, value) in the place of a value of this schema."""
        if not isinstance(schema, dict):
            schema = {}
        yield 'the least', self.canonical(schema, name)
        for value in self.known_values(name):
            yield 'known', value
        for value in schema.get('enum', []):
            yield 'of the list', value
        for one in ('oneOf', 'anyOf', 'allOf'):
            for part in schema.get(one, []):
                rest = {key: value for key, value in schema.items() if key != one}
                yield from self.cases(merged(rest, part), name)
        kinds = types(schema)
        if 'object' in kinds and ('properties' in schema or 'patternProperties' in schema):
            yield from self.objects(schema, name)
        if 'array' in kinds and ('items' in schema or 'prefixItems' in schema):
            yield from self.arrays(schema, name)
        for value in simple(schema):
            yield 'value', value
        for value in OTHERS:
            yield 'another type', value

    def objects(self, schema, name):
        base = self.canonical({key: value for key, value in schema.items() if key not in ('oneOf', 'anyOf', 'allOf')}, '')
        base = base if isinstance(base, dict) else {}
        properties = schema.get('properties', {})
        for key in schema.get('required', []):
            yield f'without {key}', {other: value for other, value in base.items() if other != key}
        yield 'with an unknown field', {**base, 'novella_unknown': 'a'}
        yield 'with everything', {**{key: self.canonical(part, key) for key, part in properties.items()}, **base}
        for key, part in properties.items():
            for what, value in self.cases(part, key):
                yield f'{key}: {what}', {**base, key: value}
        for part in schema.get('patternProperties', {}).values():
            for key in ('key', 'a key: 1', '', 'no/slash', 'k' * 255, 'k' * 256, 'ä'):
                yield 'key', {key: self.canonical(part, 'key')}
            for what, value in self.cases(part, 'key'):
                yield f'of a key: {what}', {'key': value}
            yield 'two keys', {'key': self.canonical(part, 'key'), 'other': self.canonical(part, 'key')}

    def arrays(self, schema, name):
        items = schema.get('prefixItems', [schema.get('items', {})])[0]
        one = self.canonical(items, name)
        for count in {1, 2, schema.get('minItems', 0), schema.get('maxItems', 3), schema.get('maxItems', 3) + 1}:
            yield f'{count} items', [copy.deepcopy(one) for _ in range(count)]
            yield f'{count} items, each another', [f'{one}{at}' if isinstance(one, str) else one for at in range(count)]
        for what, value in self.cases(items, name):
            yield f'item: {what}', [value]

    def queries(self, schema):
        """The same for a query: a parameter has texts, and may be there more than once."""
        schema = schema.schema
        yield 'nothing', {}
        yield 'an unknown parameter', {'novella_unknown': ['a']}
        for name, part in schema.get('properties', {}).items():
            items = part.get('items', {}) if isinstance(part, dict) else {}
            values = [self.canonical(items, name), *self.known_values(name), *simple(items)]
            values += items.get('enum', []) + ['true', '0', '-1', 'x y', 'nova', '2026-01-31T12:00:00Z']
            seen = set()
            for value in values:
                text = str(value)
                if text not in seen and len(text) < 2000:
                    seen.add(text)
                    yield f'{name}', {name: [text]}
            yield f'{name} twice', {name: [str(values[0]), str(values[0])]}


def types(schema):
    kinds = schema.get('type')
    if kinds is None:
        kinds = 'object' if 'properties' in schema or 'patternProperties' in schema else 'string'
    return kinds if isinstance(kinds, list) else [kinds]


def merged(schema, part):
    return {**schema, **part} if isinstance(part, dict) else schema


def simple(schema):
    """Texts and numbers, about the bounds of the schema."""
    texts = FORMATS.get(schema.get('format'), []) + TEXTS
    for bound in ('minLength', 'maxLength'):
        if bound in schema and schema[bound] < LONG:
            texts = texts + ['a' * max(0, schema[bound] + by) for by in (-1, 0, 1)]
    numbers = list(NUMBERS)
    for bound in ('minimum', 'maximum', 'exclusiveMinimum'):
        if bound in schema:
            numbers += [schema[bound] - 1, schema[bound], schema[bound] + 1]
    if set(types(schema)) & {'integer', 'number'}:
        texts = texts + [str(number) for number in numbers]
        return numbers + texts if types(schema)[0] != 'string' else texts + numbers
    return texts + numbers[:4]


def fits(schema, value):
    key = json.dumps(schema, sort_keys=True)
    if key not in VALIDATORS:
        VALIDATORS[key] = Schema(schema, True)
    return VALIDATORS[key].refuses(value) is None


VALIDATORS = {}
