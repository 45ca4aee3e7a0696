"""
The line of a branch: the only way between its router and the origin, as a delay in user space (netem is not everywhere).

    router's namespace                    this program                     origin's namespace
    tap `wan`  <── written when due ── delay, count ── read at once <── tap `wan-1`   (tbf: rate and queue, in the kernel)
    tap `wan`  ── read at once ──> delay, count ── written when due ──> tap `wan-1`

The kernel's tbf on each tap decides what leaves, and when; a frame that has left arrives here, and is written to the other tap
half a round trip later, in order. So TCP sees a rate, a queue that overflows, and a latency, each where a real line has it: a
frame is dropped by the queue before it crosses the line, never here. Frames are whole Ethernet frames without offloads.

    usage     line.py ROUTER_NS ORIGIN_NS ORIGIN_TAP DELAY_US ORIGIN_ADDRESS
    prints    {"ready": true}, when both taps exist
    stdin     `cut` (frames are dropped from now on), `mend`, `count` (prints the counters as one line of JSON)
    ends      at the end of stdin, so also when whoever started it was killed

Counters are of both ways, `down` towards the branch: frames and bytes with all headers; `foreign`, what is neither from nor to the
origin's address (another branch); `artifact`, the TCP payload of connections on which the branch asked for an artifact.
"""
import collections, ctypes, fcntl, json, os, select, socket, struct, sys, time

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
CLONE_NEWNET = 0x40000000
LONGEST_FRAME = 1600
# Frames due within this are written with the present one: waking up costs more than the deviation is worth.
SLACK_NS = 150_000
# What a dead line still holds is a few seconds of it at most; a fault here must not eat the machine.
MOST_FRAMES = 20_000


def open_tap(namespace, name):
    libc = ctypes.CDLL(None, use_errno=True)
    with open(f'/run/netns/{namespace}') as there:
        if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f'setns {namespace}')
    tap = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack('16sH22x', name.encode(), IFF_TAP | IFF_NO_PI))
    return tap


class Way:
    """One direction."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.flight = collections.deque()
        self.frames = self.bytes = self.foreign = self.artifact = 0

    def view(self):
        return {'frames': self.frames, 'bytes': self.bytes, 'foreign': self.foreign, 'artifact': self.artifact}


class Line:
    def __init__(self, router_ns, origin_ns, origin_tap, delay_us, origin):
        self.delay_ns = int(delay_us) * 1000
        self.origin = socket.inet_aton(origin)
        near, far = open_tap(router_ns, 'wan'), open_tap(origin_ns, origin_tap)
        self.down, self.up = Way(far, near), Way(near, far)
        # Connections by the branch's end, address and port.
        self.bulk = set()
        self.dead = False

    def take(self, way):
        """Everything that the kernel has let out onto this way."""
        while True:
            try:
                frame = os.read(way.source, LONGEST_FRAME)
            except BlockingIOError:
                return
            if self.dead or len(way.flight) >= MOST_FRAMES:
                continue
            way.frames += 1
            way.bytes += len(frame)
            self.classify(way, frame)
            way.flight.append((time.monotonic_ns() + self.delay_ns, frame))

    def classify(self, way, frame):
        if frame[12:14] != b'\x08\x00':
            return
        here = 26 if way is self.down else 30
        if frame[here:here + 4] != self.origin:
            way.foreign += len(frame)
        if frame[23] != 6:
            return
        tcp = 14 + (frame[14] & 15) * 4
        payload = tcp + (frame[tcp + 12] >> 4) * 4
        length = 14 + (frame[16] << 8 | frame[17]) - payload
        if length <= 0:
            return
        if way is self.down:
            if frame[30:34] + frame[tcp + 2:tcp + 4] in self.bulk:
                way.artifact += length
        elif frame[payload:payload + 13] == b'GET /targets/':
            self.bulk.add(frame[26:30] + frame[tcp:tcp + 2])

    def deliver(self, way, now):
        """What is due. Returns the time at which the next one is, or None."""
        while way.flight:
            due, frame = way.flight[0]
            if due > now + SLACK_NS:
                return due
            way.flight.popleft()
            try:
                os.write(way.sink, frame)
            except OSError:
                pass  # the interface is down, or its queue is full: lost, as on any line

    def command(self, word):
        if word == 'cut':
            self.dead = True
            self.down.flight.clear()
            self.up.flight.clear()
        elif word == 'mend':
            self.dead = False
        say({'down': self.down.view(), 'up': self.up.view()})

    def run(self):
        poll = select.poll()
        for descriptor in (0, self.down.source, self.up.source):
            poll.register(descriptor, select.POLLIN)
        commands = b''
        wait = None
        while True:
            # Whole milliseconds are too coarse, so the last of them is waited for by select.
            if wait is not None and wait < 2_000_000:
                ready = select.select([0, self.down.source, self.up.source], [], [], max(0, wait) / 1e9)[0]
            else:
                ready = [each for each, _ in poll.poll(None if wait is None else wait / 1e6 - 1)]
            for way in (self.down, self.up):
                if way.source in ready:
                    self.take(way)
            if 0 in ready:
                more = os.read(0, 4096)
                if not more:
                    return
                *words, commands = (commands + more).split(b'\n')
                for word in words:
                    self.command(word.decode())
            now = time.monotonic_ns()
            due = [at for at in (self.deliver(self.down, now), self.deliver(self.up, now)) if at is not None]
            wait = min(due) - time.monotonic_ns() if due else None


def say(value):
    sys.stdout.write(json.dumps(value) + '\n')
    sys.stdout.flush()


line = Line(*sys.argv[1:6])
try:
    # The line is not one of the machines that share this processor: it must not be late when they are busy.
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
except OSError:
    os.nice(-10)
say({'ready': True})
line.run()
