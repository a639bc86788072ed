# SPDX-License-Identifier: ISC
"""Files through a gateway, as TCP streams and as QUIC sends them: bursts of datagrams in one call (UDP_SEGMENT), received
several at once (UDP_GRO). The sender compares the other end's SHA-256 with its own."""
import contextlib
import errno
import hashlib
import socket
import struct
import threading

UDP_SEGMENT, UDP_GRO = 103, 104
BURST, BURST_BYTES = 16, 60000  # of a window: no queue on the way overflows, and one call takes it
TIMEOUT_S = 20


def in_background(work, *arguments):
    """Runs work in a thread; result() of what is returned waits, and raises what it raised."""
    class Running(threading.Thread):
        value = error = None

        def run(self):
            try:
                self.value = work(*arguments)
            except BaseException as error:
                self.error = error

        def result(self):
            self.join(3 * TIMEOUT_S)
            assert not self.is_alive(), "the other end does not come to an end"
            if self.error is not None:
                raise self.error
            return self.value

    running = Running(daemon=True)
    running.start()
    return running


def tcp_send(sock, data):
    sock.settimeout(TIMEOUT_S)
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    return hashlib.sha256(data).hexdigest()


def tcp_receive(sock):
    sock.settimeout(TIMEOUT_S)
    digest = hashlib.sha256()
    while data := sock.recv(1 << 16):
        digest.update(data)
    return digest.hexdigest()


def both_ways(one, other, data):
    """A file in each direction at once, over a connected pair. (sent, received), twice."""
    work = [in_background(tcp_send, one, data), in_background(tcp_receive, other),
            in_background(tcp_send, other, data[::-1]), in_background(tcp_receive, one)]
    sent, received, sent_back, received_back = (w.result() for w in work)
    return (sent, received), (sent_back, received_back)


@contextlib.contextmanager
def connected(client, listener, to, window=0):
    """A TCP connection from a namespace: (its socket, the accepted one). `window`: bytes of receive buffer, which bound
    what is under way."""
    with client.socket() as sock:
        for s in (sock, listener):
            if window:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        listener.settimeout(TIMEOUT_S)
        sock.connect(to)
        accepted, _ = listener.accept()
        with accepted:
            yield sock, accepted


def datagrams(data, size):
    """Numbered from 0; the last may be shorter."""
    room = size - 4
    return [struct.pack("!I", i // room) + data[i:i + room] for i in range(0, len(data), room)]


def burst_of(size):
    return max(1, min(BURST, BURST_BYTES // size))


def send_burst(sock, burst, to):
    """In one call, which the kernel cuts up; in as many as there are datagrams where the kernel cannot."""
    try:
        sock.sendmsg([b"".join(burst)], [(socket.IPPROTO_UDP, UDP_SEGMENT, struct.pack("=H", len(burst[0])))], 0, to)
    except OSError as error:
        if error.errno not in (errno.EIO, errno.EINVAL, errno.EOPNOTSUPP):
            raise
        for datagram in burst:
            sock.sendto(datagram, to)


def receive_burst(sock):
    """(datagrams of one call, whose)."""
    data, control, _, sender = sock.recvmsg(1 << 16, 64)
    size = next((struct.unpack("=i", value[:4])[0] for level, kind, value in control
                 if (level, kind) == (socket.IPPROTO_UDP, UDP_GRO)), len(data))
    return [data[i:i + size] for i in range(0, len(data), size or 1)], sender


def udp_send(sock, to, data, size):
    """Window by window: the next one goes when the other end has said that it has the last one."""
    parts, burst = datagrams(data, size), burst_of(size)
    for i in range(0, len(parts), burst):
        send_burst(sock, parts[i:i + burst], to)
        assert sock.recv(100) == struct.pack("!I", min(i + burst, len(parts)))
    return hashlib.sha256(data).hexdigest()


def udp_receive(sock, count, window):
    """`count` datagrams: (SHA-256, numbers as they came, the most that came by one call, sender)."""
    sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    digest, numbers, most, sender = hashlib.sha256(), [], 0, None
    while len(numbers) < count:
        burst, sender = receive_burst(sock)
        most = max(most, len(burst))
        for datagram in burst:
            numbers.append(int.from_bytes(datagram[:4], "big"))
            digest.update(datagram[4:])
        if len(numbers) % window == 0 or len(numbers) == count:
            sock.sendto(struct.pack("!I", len(numbers)), sender)
    sock.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 0)
    return digest.hexdigest(), numbers, most, sender


def udp_file(sock, other, to, data, size):
    """A file from one socket to the other; asserts that it arrives whole and in order. (most datagrams by one call, sender)"""
    for s in (sock, other):
        s.settimeout(TIMEOUT_S)
    count = len(datagrams(data, size))
    receiving = in_background(udp_receive, other, count, burst_of(size))
    sent = udp_send(sock, to, data, size)
    got, numbers, most, sender = receiving.result()
    assert numbers == list(range(count))
    assert got == sent
    return most, sender
