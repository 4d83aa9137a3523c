#!/usr/bin/env python3
"""Writes trees.txt, proofs.txt and forged.txt beside this file.

An implementation of docs/formats/tree.md of its own, on strings of bits, so that the C++ one is
compared with something that shares no code and no cleverness with it. The files are frozen: run
this only to add vectors, and look at the difference.
"""
import hashlib
import os
import random

HERE = os.path.dirname(os.path.abspath(__file__))


def H(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


def le(n, size):
    return n.to_bytes(size, "little")


def bits_of(key):
    return "".join(f"{b:08b}" for b in key)


def bytes_of(bits):
    bits += "0" * (-len(bits) % 8)
    return bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def value_hash(value):
    return H(b"\x04", value)


def leaf_hash(key, vhash):
    return H(b"\x00", bytes([len(key)]), key, vhash)


def node_hash(prefix, count, left, right):
    return H(b"\x01", le(len(prefix), 2), bytes_of(prefix).ljust(42, b"\0"), le(count, 8), left, right)


class Leaf:
    def __init__(self, key, value):
        self.key, self.value, self.bits, self.count = key, value, bits_of(key), 1
        self.hash = leaf_hash(key, value_hash(value))


class Node:
    def __init__(self, left, right):
        self.left, self.right, self.count = left, right, left.count + right.count
        self.bits = os.path.commonprefix([left.bits, right.bits])
        self.hash = node_hash(self.bits, self.count, left.hash, right.hash)


def build(leaves):
    """leaves: dict of key -> value."""
    if not leaves:
        return None
    if len(leaves) == 1:
        return Leaf(*next(iter(leaves.items())))
    prefix = len(os.path.commonprefix([bits_of(k) for k in leaves]))
    side = lambda s: {k: v for k, v in leaves.items() if bits_of(k)[prefix] == s}
    return Node(build(side("0")), build(side("1")))


def root_hash(tree):
    return tree.hash if tree else H(b"\x02")


def count_of(tree):
    return tree.count if tree else 0


def state_root(cluster, sm_version, tree):
    return H(b"\x03", cluster, le(sm_version, 4), le(count_of(tree), 8), root_hash(tree))


# ---- tokens

VERSION = b"\x01"
EMPTY = b"\x00"


def t_node(bitlen, count):
    return b"\x01" + le(bitlen, 2) + le(count, 8)


def t_pruned(h):
    return b"\x02" + h


def t_stub(bitlen, prefix, count, left, right):
    return b"\x03" + le(bitlen, 2) + prefix + le(count, 8) + left + right


def t_leaf(key, value):
    return b"\x04" + bytes([len(key)]) + key + le(len(value), 4) + value


def t_redacted(key, vhash):
    return b"\x05" + bytes([len(key)]) + key + vhash


def node(n):
    return t_node(len(n.bits), n.count)


def pruned(n):
    return t_pruned(n.hash)


def stub(n):
    return t_stub(len(n.bits), bytes_of(n.bits), n.count, n.left.hash, n.right.hash)


def leaf(n):
    return t_leaf(n.key, n.value)


def redacted(n):
    return t_redacted(n.key, value_hash(n.value))


def everything(n):
    return leaf(n) if isinstance(n, Leaf) else node(n) + everything(n.left) + everything(n.right)


# ---- proofs for queries: ("get", key), ("list", from, to or None), ("leaves", prefix)


def outside(bits, frm, to):
    if to is not None and (to <= frm or to <= bytes_of(bits)):
        return True
    f = bits_of(frm)
    same = len(os.path.commonprefix([bits, f]))
    return same < len(bits) and same < len(f) and bits[same] == "0"


def asks(query, parent, region):
    """Does the query need to see into this child of a node that is shown?"""
    if query[0] == "list":
        return not outside(parent.bits, *query[1:]) and not outside(region, *query[1:])
    if query[0] == "get":
        return bits_of(query[1]).startswith(region)
    return len(bits_of(query[1])) > len(parent.bits) and bits_of(query[1]).startswith(region)


def prove_part(n, queries):
    if isinstance(n, Leaf):
        wanted = any(
            (q[0] == "get" and q[1] == n.key)
            or (q[0] == "list" and q[1] <= n.key and (q[2] is None or n.key < q[2]))
            for q in queries
        )
        return leaf(n) if wanted else redacted(n)
    left = [q for q in queries if asks(q, n, n.bits + "0")]
    right = [q for q in queries if asks(q, n, n.bits + "1")]
    if not left and not right:
        return stub(n)
    return (
        node(n)
        + (prove_part(n.left, left) if left else pruned(n.left))
        + (prove_part(n.right, right) if right else pruned(n.right))
    )


def prove(tree, queries):
    return VERSION + (prove_part(tree, queries) if tree else EMPTY)


# ---- text


def text(b):
    return b.hex() if b else "-"


def answer(leaves, q):
    if q[0] == "get":
        return f"get {text(q[1])} " + (f"value {text(leaves[q[1]])}" if q[1] in leaves else "absent")
    if q[0] == "list":
        keys = sorted(k for k in leaves if k >= q[1] and (q[2] is None or k < q[2]))
        to = "end" if q[2] is None else text(q[2])
        return f"list {text(q[1])} {to} complete" + "".join(" " + text(k) for k in keys)
    n = sum(k.startswith(q[1]) for k in leaves)
    return f"leaves {text(q[1])} {n}"


def tree_lines(leaves):
    return [f"leaf {text(k)} {text(v)}" for k, v in sorted(leaves.items())]


def write(name, blocks):
    with open(os.path.join(HERE, name), "w") as f:
        f.write("# Written by generate.py; syntax in docs/formats/tree.md. Frozen.\n")
        for block in blocks:
            f.write("\n" + "\n".join(block) + "\nend\n")


# ---- content


def attributes(ino):
    return b"\x10" + ino.to_bytes(8, "big") + b"\x00"


def dirent(ino, name):
    return b"\x10" + ino.to_bytes(8, "big") + b"\x10" + H(b"\x20", b"salt", name)


def file_system(seed, files):
    rng = random.Random(seed)
    leaves = {attributes(1): b"root directory"}
    for i in range(files):
        parent = rng.choice([1, 1, 2, 3])
        leaves[dirent(parent, b"name%d" % i)] = b"-> %d" % (i + 2)
        leaves[attributes(i + 2)] = rng.randbytes(rng.randrange(24))
    leaves[b"\x60\x00"] = le(files + 2, 8)
    return leaves


def corpus():
    yield "empty", {}
    yield "one_leaf", {b"\x60\x00": b"counters"}
    yield "empty_value", {b"\x60\x00": b""}
    yield "two_leaves", {b"\x10\x00": b"a", b"\x10\x01": b"b"}
    yield "first_bit", {b"\x00": b"left", b"\x80": b"right"}
    yield "last_bit_of_longest", {bytes(42): b"0", bytes(41) + b"\x01": b"1"}
    yield "chain", {bytes([0x10, 0xFF & (0xFF00 >> i), 0x80 if i < 8 else 0]): bytes([i]) for i in range(9)}
    for files in (3, 20, 60):
        yield f"file_system_{files}", file_system(files, files)


def queries_of(leaves, rng):
    present = sorted(leaves)
    directory = b"\x10" + (1).to_bytes(8, "big") + b"\x10"
    after = directory[:-1] + b"\x11"
    yield "nothing", []
    yield "everything", [("list", b"", None)]
    yield "absent", [("get", attributes(10**9))]
    yield "count_all", [("leaves", b"")]
    yield "directory", [("list", directory, after), ("leaves", directory)]
    yield "directory_count_only", [("leaves", directory), ("leaves", b"\x10" + (2).to_bytes(8, "big"))]
    yield "empty_directory", [("list", directory[:-2] + b"\x09\x10", directory[:-2] + b"\x09\x11")]
    if present:
        yield "present", [("get", rng.choice(present))]
        a, b = sorted(rng.choices(present, k=2))
        yield "page", [("list", a, b)]
        yield "stat", [("get", rng.choice(present)) for _ in range(3)] + [("get", dirent(1, b"no such name"))]


def forgeries():
    fs = file_system(7, 12)
    tree = build(fs)
    d1 = b"\x10" + (1).to_bytes(8, "big") + b"\x10"
    after = d1[:-1] + b"\x11"
    entries = sorted(k for k in fs if k.startswith(d1))

    def find(key, n):
        while isinstance(n, Node):
            n = n.right if bits_of(key)[len(n.bits)] == "1" else n.left
        return n

    def render(n, replace, opened):
        """The part of n with some subtrees replaced; what is not in `opened` is pruned."""
        if id(n) in replace:
            return replace[id(n)]
        if not any(k.startswith(n.bits) for k in opened):
            return pruned(n)
        if isinstance(n, Leaf):
            return leaf(n)
        return node(n) + render(n.left, replace, opened) + render(n.right, replace, opened)

    def whole(replace, keys=entries):
        return VERSION + render(tree, replace, [bits_of(k) for k in keys])

    def parent_of(target, n):
        while True:
            child = n.right if target.bits[len(n.bits)] == "1" else n.left
            if child is target:
                return n
            n = child

    root = tree.hash.hex()
    listing = f"list {text(d1)} {text(after)} unknown"
    good = ["certified " + root]

    def forged(name, data, *expect):
        return [f"forged {name}", f"bytes {data.hex()}", *good, *expect]

    def refused(name, data, reason):
        return forged(name, data, "refused " + reason)

    def differs(name, data):
        return forged(name, data, "other-root")

    first = find(entries[0], tree)
    last = find(entries[-1], tree)
    # An internal node below the directory of which both sides are leaves of it.
    def pair(n):
        if isinstance(n, Leaf):
            return None
        if n.bits.startswith(bits_of(d1)) and isinstance(n.left, Leaf) and isinstance(n.right, Leaf):
            return n
        return pair(n.left) or pair(n.right)

    twins = pair(tree)
    low, high = b"\x10\x00", b"\x10\x01"
    two = build({low: b"a", high: b"b"})

    # What is left out is seen to be left out: the root is right, the listing is not complete.
    yield forged("stub_in_listed_range", whole({id(twins): stub(twins)}), "root", listing)
    yield forged("redacted_leaf_in_listed_range", whole({id(first): redacted(first)}), "root", listing)
    yield forged("redacted_last_leaf", whole({id(last): redacted(last)}), "root", listing)
    yield forged("pruned_leaf_in_listed_range", whole({id(last): pruned(last)}), "root", listing)
    yield forged("redacted_leaf_for_a_get", VERSION + render(
        tree, {id(first): redacted(first)}, [first.bits]), "root", f"get {text(first.key)} unknown")
    yield forged("absence_by_pruning", VERSION + render(
        tree, {id(twins.left): pruned(twins.left)}, [twins.right.bits]), "root",
        f"get {text(twins.left.key)} unknown")
    yield forged("count_by_pruning", VERSION + stub(tree), "root", f"leaves {text(d1)} unknown",
                 f"leaves - {len(fs)}")

    # Truncated listings that claim to be complete.
    yield refused("listing_without_a_leaf", whole({id(twins): leaf(twins.left)}), "wrong leaf count")
    yield differs("recounted_without_a_leaf", VERSION + everything(build({k: fs[k] for k in fs if k != twins.right.key})))
    yield differs("tree_without_the_rest", VERSION + everything(build({k: fs[k] for k in entries})))
    yield differs("empty_tree", VERSION + EMPTY)
    yield differs("other_value", whole({id(first): t_leaf(first.key, b"-> 999")}))
    yield differs("other_redacted_value", whole({id(first): t_redacted(first.key, H(b"x"))}))
    yield differs("other_key", whole({id(first): t_leaf(first.key[:-1] + bytes([first.key[-1] ^ 1]), first.value)}))

    # Nodes of other trees and other places.
    reply = H(b"\x09", first.hash, last.hash)
    yield differs("reply_node_as_child", VERSION + node(two) + leaf(two.left) + t_pruned(reply))
    yield differs("reply_leaf_as_leaf", VERSION + t_leaf(first.hash, last.hash))
    yield differs("raw_hash_as_redacted_leaf", VERSION + t_redacted(b"", tree.hash))
    far = next(l for l in (find(k, tree) for k in sorted(fs)) if not l.key.startswith(d1) and len(l.key) == 42)
    yield differs("prefix_of_another_subtree", VERSION + node(twins) + (
        leaf(far) + pruned(twins.right) if far.bits[len(twins.bits)] == "0" else pruned(twins.left) + leaf(far)))
    yield refused("children_of_different_subtrees", VERSION + t_node(15, 2) + t_leaf(b"\x10\x00", b"") +
                  t_leaf(b"\x20\x01", b""), "share their parent's prefix")
    yield refused("sibling_transplant", whole({id(twins): node(twins) + leaf(twins.right) + leaf(twins.left)}),
                  "wrong side")
    yield refused("same_child_twice", whole({id(twins): node(twins) + leaf(twins.left) + leaf(twins.left)}),
                  "wrong side")
    yield differs("same_hash_twice", VERSION + t_stub(len(tree.bits), bytes_of(tree.bits), tree.count,
                                                     tree.left.hash, tree.left.hash))
    yield differs("swapped_hashes", VERSION + t_stub(len(tree.bits), bytes_of(tree.bits), tree.count,
                                                    tree.right.hash, tree.left.hash))
    yield differs("subtree_as_tree", VERSION + everything(twins))
    yield refused("key_is_prefix_of_key", VERSION + t_node(16, 2) + t_leaf(low, b"a") + t_leaf(low + b"\x80", b"b"),
                  "ends before its node branches")
    yield refused("key_ends_at_branch", VERSION + t_node(16, 2) + t_leaf(low + b"\x00", b"a") + t_redacted(low, H(b"")),
                  "ends before its node branches")

    # Counts.
    n2 = lambda count, *rest: VERSION + t_node(len(two.bits), count) + b"".join(rest)
    yield refused("count_too_large", n2(3, leaf(two.left), leaf(two.right)), "wrong leaf count")
    yield refused("count_one", n2(1, leaf(two.left), leaf(two.right)), "fewer than two leaves")
    yield refused("count_used_up", VERSION + t_node(0, 2) + t_stub(4, b"\x10", 2, H(b""), H(b"")) + t_pruned(H(b"")),
                  "wrong leaf count")
    yield refused("count_wraps", VERSION + t_node(0, 2) + t_stub(4, b"\x10", 2**64 - 1, H(b""), H(b"")) +
                  t_stub(4, b"\x90", 3, H(b""), H(b"")), "leaf count above its limit")
    yield differs("stub_count", VERSION + t_stub(len(tree.bits), bytes_of(tree.bits), tree.count + 1,
                                                tree.left.hash, tree.right.hash))
    yield differs("count_behind_pruned", n2(3, leaf(two.left), pruned(two.right)))

    # One encoding only.
    yield refused("both_pruned", n2(2, pruned(two.left), pruned(two.right)), "both sides are pruned")
    yield refused("root_pruned", VERSION + pruned(tree), "shows nothing")
    yield refused("empty_inside", n2(2, EMPTY, leaf(two.right)), "empty subtree")
    yield refused("trailing_byte", VERSION + everything(two) + b"\0", "trailing bytes")
    yield refused("second_tree", VERSION + everything(two) + everything(two), "trailing bytes")
    yield refused("trailing_after_empty", VERSION + EMPTY + EMPTY, "trailing bytes")
    yield refused("truncated", (VERSION + everything(two))[:-1], "truncated")
    yield refused("no_right_child", n2(2, leaf(two.left)), "truncated")
    yield refused("no_bytes", b"", "truncated")
    yield refused("version_only", VERSION, "truncated")
    yield refused("version_0", b"\0" + everything(two), "version")
    yield refused("version_2", b"\2" + everything(two), "version")
    yield refused("unknown_token", VERSION + b"\6" + everything(two)[1:], "unknown token")
    yield refused("stub_padding", VERSION + t_stub(4, b"\x18", 2, H(b""), H(b"")), "not zero padded")
    yield refused("branch_not_deeper", VERSION + t_node(15, 3) + t_node(15, 2) + everything(two)[11:],
                  "branch behind its parent")
    yield refused("stub_not_deeper", VERSION + t_node(15, 3) + t_stub(8, b"\x10", 2, H(b""), H(b"")),
                  "branch behind its parent")
    yield refused("branch_336", VERSION + t_node(336, 2), "behind the longest key")
    yield refused("stub_65535", VERSION + t_stub(65535, bytes(8192), 2, H(b""), H(b"")), "behind the longest key")
    yield refused("key_43", VERSION + t_leaf(bytes(43), b""), "above the longest")
    yield refused("key_255_truncated", VERSION + b"\x04\xff", "above the longest")
    yield refused("value_4_gib", VERSION + b"\x04\x01a\xff\xff\xff\xff", "truncated")
    yield refused("nodes_without_end", VERSION + b"".join(t_node(i, 2) for i in range(336)), "truncated")


def main():
    cluster = bytes(range(32))
    trees, proofs = [], []
    for name, leaves in corpus():
        tree = build(leaves)
        head = tree_lines(leaves)
        trees.append([f"tree {name}", *head, f"root {root_hash(tree).hex()}",
                      f"state {cluster.hex()} 1 {state_root(cluster, 1, tree).hex()}"])
        for what, queries in queries_of(leaves, random.Random(len(leaves))):
            if name == "file_system_60" and what == "everything":
                continue  # long and nothing new
            proofs.append([f"proof {name}/{what}", *head, f"root {root_hash(tree).hex()}",
                           f"bytes {prove(tree, queries).hex()}", *[answer(leaves, q) for q in queries]])
    write("trees.txt", trees)
    write("proofs.txt", proofs)
    write("forged.txt", list(forgeries()))


if __name__ == "__main__":
    main()
