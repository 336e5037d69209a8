"""Broadcasts in a loop while a command runs; fails if a broadcast fails.

    stream.py ADDRESS TOKEN COMMAND...

Half of the publishers open a connection for each broadcast. The others keep
theirs until the server says that it closes it, or has closed it between two
broadcasts, as RFC 9112 (9.3.1, 9.6) wants them to.
"""

import http.client
import json
import select
import subprocess
import sys
import threading

# Seconds for a restart under way; far more than it takes.
TIMEOUT = 30
EACH = 3
# Seconds between two broadcasts of one publisher, which leave the processor to the others.
PAUSE = 0.002

address, token, *command = sys.argv[1:]
over = threading.Event()
counts, failures = [], []


def is_closed(connection):
    return bool(select.select([connection.sock], [], [], 0)[0])


def publish(keeps):
    connection, count = None, 0
    while not over.is_set():
        if connection is None or is_closed(connection):
            connection = http.client.HTTPConnection(address, timeout=TIMEOUT)
            connection.connect()
        connection.request("POST", "/broadcast", json.dumps({"token": token}))
        answer = connection.getresponse()
        body = answer.read()
        assert answer.status == 200, (answer.status, body)
        count += 1
        over.wait(PAUSE)
        if not keeps or answer.will_close:
            connection.close()
            connection = None
    counts.append(count)


def run(keeps):
    try:
        publish(keeps)
    except Exception as error:  # whatever it is, a broadcast failed
        failures.append(f"keeps={keeps}: {error!r}")
        over.set()


publishers = [threading.Thread(target=run, args=(keeps,)) for keeps in [False, True] * EACH]
for publisher in publishers:
    publisher.start()
status = subprocess.run(command, check=False).returncode
over.set()
for publisher in publishers:
    publisher.join()
print(f"{sum(counts)} broadcasts, {failures or 'no failures'}")
sys.exit(1 if status or failures or min(counts) < 2 else 0)
