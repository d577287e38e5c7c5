"""Stands before a cloud and writes down what clients ask of Compute and what it answers; what is written is held against
Nova's own schemas with `python record.py check FILE`, which needs the package nova.

    python record.py URL FILE    prints the URL under which the cloud is then reached

The cloud makes its links by the name under which it was asked, so that a client that begins here stays here.
"""
import http.client
import json
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PREFIX = '/compute/v2.1'


def serve(url, file):
    upstream, lock, written = urllib.parse.urlsplit(url).netloc, threading.Lock(), open(file, 'w')

    class Handler(BaseHTTPRequestHandler):
        protocol_version = 'HTTP/1.1'
        disable_nagle_algorithm = True
        wbufsize = 1 << 16

        def log_message(self, *_):
            pass

        def body(self):
            if self.headers.get('Transfer-Encoding', '').lower() != 'chunked':
                return self.rfile.read(int(self.headers.get('Content-Length') or 0))
            body = b''
            while size := int(self.rfile.readline().split(b';')[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return body

        def pass_on(self):
            body = self.body()
            left_out = ('connection', 'transfer-encoding', 'content-length')
            headers = {name: value for name, value in self.headers.items() if name.lower() not in left_out}
            connection = http.client.HTTPConnection(upstream, timeout=300)
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            text = answer.read()
            connection.close()
            self.record(body, answer, text)
            self.send_response(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in (*left_out, 'date', 'server'):
                    self.send_header(name, value)
            if answer.status not in (204, 304):
                length = answer.getheader('Content-Length') if self.command == 'HEAD' else len(text)
                self.send_header('Content-Length', length or 0)
            self.end_headers()
            if self.command != 'HEAD':
                self.wfile.write(text)

        def record(self, body, answer, text):
            path = urllib.parse.urlsplit(self.path)
            if not path.path.startswith(PREFIX):
                return
            version = self.headers.get('OpenStack-API-Version') or self.headers.get('X-OpenStack-Nova-API-Version')
            exchange = [self.command, urllib.parse.unquote(path.path[len(PREFIX):]),
                        urllib.parse.parse_qs(path.query, keep_blank_values=True), version, parsed(body), answer.status,
                        parsed(text), {name.lower(): value for name, value in answer.getheaders()}]
            with lock:
                print(json.dumps(exchange), file=written, flush=True)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = pass_on

    server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
    print(f'http://127.0.0.1:{server.server_port}', flush=True)
    server.serve_forever()


def parsed(text):
    try:
        return json.loads(text) if text else None
    except ValueError:
        return text.decode(errors='replace')


def check(file):
    import deviations
    from rules import Exchange, Rules
    from sweep import report
    rules, violations, names, count = Rules(), [], set(), 0
    for line in open(file):
        exchange, count = Exchange(*json.loads(line)), count + 1
        operation = rules.operation(exchange.method, exchange.path or '/', exchange.request)
        names.add(getattr(operation, 'name', f'{exchange.method} {exchange.path}'))
        violations += [(violation, 'asked by a client') for violation in rules.violations(exchange)]
    report(violations, count, names, names)
    sys.exit(1 if deviations.unexpected(violations) or not count else 0)


if __name__ == '__main__':
    check(sys.argv[2]) if sys.argv[1] == 'check' else serve(*sys.argv[1:])
