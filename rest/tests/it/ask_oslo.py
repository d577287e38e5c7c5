"""Asks the real oslo.policy. Reads cases as lines of JSON, and writes for each `true` or `false`; of a text alone, whether it
is understood at all.

    {"rules": {NAME: TEXT or LISTS, ...}, "ask": NAME, "target": {...}, "credentials": {...}}
    {"text": TEXT}
"""
import json
import logging
import sys

from oslo_config import cfg
from oslo_policy import _parser, policy

logging.disable(logging.CRITICAL)


def enforcer(rules):
    conf = cfg.ConfigOpts()
    conf([])
    made = policy.Enforcer(conf, use_conf=False)
    made.set_rules(policy.Rules({name: _parser.parse_rule(rule) for name, rule in rules.items()}), use_conf=False)
    return made


def understood(text):
    state = _parser.ParseState()
    for token in _parser._parse_tokenize(text):
        state.shift(token)
    try:
        return state.result is not None
    except ValueError:
        return False


for line in open(sys.argv[1], encoding='utf-8'):
    case = json.loads(line)
    if 'text' in case:
        print(json.dumps(understood(case['text'])))
    else:
        answer = enforcer(case['rules']).enforce(case['ask'], case['target'], case['credentials'])
        print(json.dumps(bool(answer)))
