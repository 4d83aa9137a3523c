/* C interface of libbftmeta-verify: checks a proof file (docs/formats/proof-file.md) with nothing
 * but the cluster's genesis. No I/O, no global state; may be called from any thread. */
#ifndef BFTMETA_VERIFY_H
#define BFTMETA_VERIFY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
  BFTMETA_VERIFIED = 0,
  BFTMETA_BAD_GENESIS = 2,  /* the genesis bytes are not those of a cluster */
  BFTMETA_NOT_VERIFIED = 4, /* any defect of the proof; message says which */
  BFTMETA_PATH_MAX = 16640, /* 64 names of 255 bytes with their slashes, and "inode N" */
  BFTMETA_MESSAGE_MAX = 512
};

typedef struct bftmeta_proof_result {
  uint8_t cluster_id[32];
  uint64_t seq;     /* sequence number of the certified root */
  uint64_t time_us; /* agreed time of it, microseconds since 1970 */
  uint8_t state_root[32];
  char path[BFTMETA_PATH_MAX]; /* what the proof is about: "/a/b", "inode 7/a" */
  int exists;                  /* 0: it is proven that there is no such path */
  /* The rest is 0 unless it exists. */
  uint64_t ino;
  uint32_t mode; /* type and permission bits as in stat(2) */
  uint32_t nlink;
  uint32_t uid;
  uint32_t gid;
  uint64_t size;
  uint64_t rdev;
  uint64_t version; /* grows with every change of the inode */
  int64_t atime_ns;
  int64_t mtime_ns;
  int64_t ctime_ns;
  int64_t btime_ns;
  char message[BFTMETA_MESSAGE_MAX]; /* why not, one line; empty when verified */
} bftmeta_proof_result;

/* `genesis`: the canonical bytes (bftadm genesis --canonical). `out` must not be NULL; it is always
 * filled, and everything but `message` is 0 unless BFTMETA_VERIFIED is returned. */
int bftmeta_verify_proof(const uint8_t* genesis, size_t genesis_len, const uint8_t* proof,
                         size_t proof_len, bftmeta_proof_result* out);

#ifdef __cplusplus
}
#endif

#endif
