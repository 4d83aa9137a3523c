#!/usr/bin/env python3
"""A verifier of certificates written from docs/formats/certificates.md alone, in the standard library.

Checks certificates.txt beside this file: hashes, the history chain, trees, and every certificate,
good and forged. Slow on purpose (Ed25519 as in RFC 8032, on Python integers). Exit code 0: all hold.
"""
import collections
import hashlib
import os
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))

# ---- Ed25519, RFC 8032 section 5.1
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
I = pow(2, (P - 1) // 4, P)


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P != 0:
        x = x * I % P
    if (x * x - x2) % P != 0:
        return None
    return P - x if (x & 1) != sign else x


def add(a, b):
    A = (a[1] - a[0]) * (b[1] - b[0]) % P
    B = (a[1] + a[0]) * (b[1] + b[0]) % P
    C = 2 * a[3] * b[3] * D % P
    E = 2 * a[2] * b[2] % P
    e, f, g, h = B - A, E - C, E + C, B + A
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def mul(n, point):
    q = (0, 1, 1, 0)
    while n > 0:
        if n & 1:
            q = add(q, point)
        point = add(point, point)
        n >>= 1
    return q


def point_of(data):
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


GY = 4 * pow(5, P - 2, P) % P
G = (recover_x(GY, 0), GY, 1, recover_x(GY, 0) * GY % P)


def verify_signature(key, message, signature):
    a, r = point_of(key), point_of(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= L or len(signature) != 64:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    left, right = mul(s, G), add(r, mul(k, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P == 0


# ---- the format
def H(domain, *parts):
    return hashlib.sha256(bytes([domain]) + b"".join(parts)).digest()


class Defect(Exception):
    pass


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, n):
        if n > len(self.data):
            raise Defect("truncated")
        out, self.data = self.data[:n], self.data[n:]
        return out

    def u(self, size):
        return int.from_bytes(self.take(size), "little")

    def counted(self, cap):
        n = self.u(4)
        if n > cap:
            raise Defect("count above its limit")
        return n

    def end(self):
        if self.data:
            raise Defect("trailing bytes")


def read_genesis(data):
    """-> Config"""
    r = Reader(data)
    if r.u(1) != 1:
        raise Defect("format")
    r.take(16)
    r.take(r.counted(64))
    r.u(8)
    config = read_config(r)
    for _ in range(r.counted(4096)):
        r.take(r.counted(64))
        r.take(64)
        r.take(3 + 12)
        r.take(4 * r.counted(32))
    r.end()
    return config


# bytes: the canonical encoding; keys: vote keys by replica id
Config = collections.namedtuple("Config", "bytes keys epoch sm_version")


def read_config(r):
    before = r.data
    epoch = r.u(8)
    keys = []
    for i in range(r.counted(31)):
        if r.u(4) != i:
            raise Defect("ids")
        keys.append(r.take(32))
        r.take(32)
        r.take(r.counted(253))
        r.u(2)
    for _ in range(r.counted(16)):
        r.take(r.counted(64))
        r.take(32)
    r.u(4), r.u(4)
    sm_version = r.u(4)
    return Config(before[: len(before) - len(r.data)], keys, epoch, sm_version)


BODY = struct.Struct("<32sQ32s32sQQ32s32s32s32sIQI")


def check_signatures(config, signers, signatures, message):
    n = len(config.keys)
    quorum = 2 * ((n - 1) // 3) + 1
    if signers >> n or bin(signers).count("1") != quorum or len(signatures) != quorum:
        raise Defect("not exactly a quorum")
    members = [i for i in range(n) if signers >> i & 1]
    for member, signature in zip(members, signatures):
        if not verify_signature(config.keys[member], message, signature):
            raise Defect(f"signature of replica {member}")


def check_certificate(data, cluster_id, config, next_config=None):
    """Without next_config: what a reader accepts; with it: what ends the epoch of `config`."""
    r = Reader(data)
    raw = r.take(BODY.size)
    body = BODY.unpack(raw)
    signers = r.u(4)
    signatures = [r.take(64) for _ in range(r.counted(31))]
    next_signers = r.u(4)
    next_signatures = [r.take(64) for _ in range(r.counted(31))]
    r.end()
    if (body[0], body[1]) != (cluster_id, config.epoch):
        raise Defect("of another cluster or epoch")
    if (body[2], body[12]) != (H(0x31, config.bytes), config.sm_version):
        raise Defect("of another configuration or version")
    next_hash, end, seq = body[3], body[4], body[5]
    if seq == 0:
        raise Defect("sequence number 0")
    if (end and seq > end) or (next_hash != bytes(32)) != (end != 0 and seq == end):
        raise Defect("epoch end contradicts the number")
    message = b"mdfs.v1.rootcrt\0" + cluster_id + struct.pack("<Q", config.epoch) + raw
    check_signatures(config, signers, signatures, message)
    if next_config is None:
        if next_signers or next_signatures:
            raise Defect("signatures of a next configuration")
        return
    if next_config.epoch != config.epoch + 1 or next_hash != H(0x31, next_config.bytes):
        raise Defect("another next configuration")
    check_signatures(next_config, next_signers, next_signatures, message)


def tree_root(leaves, domain):
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while 2 * k < len(leaves):
        k *= 2
    return H(domain, tree_root(leaves[:k], domain), tree_root(leaves[k:], domain))


def pattern(first):
    return bytes((first + i) & 0xFF for i in range(32))


def main():
    v = {}
    with open(os.path.join(HERE, "certificates.txt"), encoding="ascii") as file:
        for line in file:
            if not line.startswith("#"):
                name, value = line.split()
                v[name] = bytes.fromhex("" if value == "-" else value)
    failures = []

    def check(what, ok):
        if not ok:
            failures.append(what)

    config = read_genesis(v["genesis"])
    cluster_id = H(0x30, v["genesis"])
    check("cluster_id", cluster_id == v["cluster_id"])
    check("config", config.bytes == v["config"])
    check("config_hash", H(0x31, config.bytes) == v["config_hash"])
    next_config = read_config(Reader(v["next_config"]))
    start = H(0x0D, cluster_id)
    five = H(0x0D, start, H(0x0B, v["header.5"]))
    check("history_start", start == v["history_start"])
    check("history_hash.5", five == v["history_hash.5"])
    check("history_hash.5.6", H(0x0D, five, H(0x0B, v["header.6"])) == v["history_hash.5.6"])
    check("history_leaf.6", H(0x0B, v["header.6"]) == v["history_leaf.6"])
    check("header size", len(v["header.6"]) == 116)
    check("history_node", H(0x0C, pattern(1), pattern(2)) == v["history_node"])
    check("body size", len(v["body"]) == 264)
    check("body.digest", H(0x15, v["body"]) == v["body.digest"])
    message = b"mdfs.v1.rootcrt\0" + cluster_id + struct.pack("<Q", config.epoch) + v["body"]
    check("body.preimage", message == v["body.preimage"])
    share = Reader(v["share"])
    check("share body", share.take(264) == v["body"])
    check("share signature", verify_signature(config.keys[share.u(4)], message, share.take(64)))
    session = bytes([0xDE, 0xAD]) + bytes(14)
    leaf = H(0x08, session, struct.pack("<Q", 5), pattern(1), pattern(2))
    check("reply_leaf", leaf == v["reply_leaf"])
    check("reply_node", H(0x09, pattern(1), pattern(2)) == v["reply_node"])
    leaves = [pattern(i) for i in range(7)]
    for n in range(1, 8):
        check(f"reply_root.{n}", tree_root(leaves[:n], 0x09) == v[f"reply_root.{n}"])
    path = tree_root(leaves[4:6], 0x09) + tree_root(leaves[:4], 0x09)
    check("reply_path.6.of.7", path == v["reply_path.6.of.7"])
    good = {"cert": None, "joint": next_config}
    bad = {"forged": None, "unjoint": next_config}
    for name, data in v.items():
        kind = name.split(".")[0]
        if kind not in good and kind not in bad:
            continue
        try:
            check_certificate(data, cluster_id, config, (good | bad)[kind])
            verdict = "holds"
        except Defect as defect:
            verdict = str(defect)
        check(f"{name}: {verdict}", (verdict == "holds") == (kind in good))
    for what in failures:
        print("FAILED", what)
    print(f"{len(v)} vectors, {len(failures)} failures")
    return 1 if failures else 0


sys.exit(main())
