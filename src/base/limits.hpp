// Every limit of the system, each with the reason for its number. Limits in the first two groups
// are constants of the state machine (kSmVersion): changing one changes results, hence roots.
#pragma once

#include <cstddef>
#include <cstdint>

namespace bftmeta::limits {

// ---- versions
constexpr std::uint8_t kWireVersion = 1;
constexpr std::uint32_t kSmVersion = 1;

// ---- namespace (protocol §10)
constexpr std::size_t kMaxName = 255;  // POSIX NAME_MAX of the file systems users come from
constexpr std::size_t kMaxPathComponents = 64;  // of a Target; bounds the work of one operation
constexpr std::size_t kMaxSymlink = 4095;       // PATH_MAX less its NUL
constexpr std::size_t kMaxInline = 1536;        // 1.5 KiB: one leaf stays below half an LMDB page
constexpr std::uint32_t kBlockSize = 1U << 20;  // file data block; the last one is short
constexpr std::size_t kMaxXattrName = 255;
constexpr std::size_t kMaxXattrValue =
    4096;  // fits one reply together with others; Linux allows 64 KiB
constexpr std::size_t kMaxXattrsPerInode = 64;
constexpr std::size_t kMaxGroups = 32;      // supplementary groups that travel with a request
constexpr std::uint32_t kMaxLinks = 65535;  // 16-bit link counts of other file systems
constexpr std::uint32_t kMaxDepth = 1024;   // bounds the rename cycle walk
constexpr std::uint64_t kMaxFileSize = 1ULL << 46;  // 64 TiB: 2^26 extents of 1 MiB
constexpr std::size_t kMaxExtentChanges = 512;      // 512 MiB of blocks named in one operation
constexpr std::size_t kPurgePerBatch = 64;     // leaves purged by later batches after O(1) unlink
constexpr std::size_t kPurgePerOperation = 8;  // ... or at once, when no more than these die
// Statements of admins that are over are forgotten by the next that is executed: more than the one
// that it adds, so that what a busy hour left goes away.
constexpr std::size_t kForgottenPerStatement = 4;

// ---- sessions (protocol §8, architecture §5)
constexpr std::size_t kMaxOpsPerBundle = 256;
constexpr std::size_t kMaxBundleBytes = 64 * 1024;
constexpr std::size_t kSessionWindow = 8;           // bundles in flight per session
constexpr std::size_t kMaxHoldsPerSession = 256;    // bounds the work of evicting a session
constexpr std::size_t kMaxStoredResult = 4 * 1024;  // bytes of results kept per bundle
constexpr std::size_t kMaxSessions = 65536;
constexpr std::size_t kMaxSessionsPerPrincipal = 1024;
constexpr std::uint64_t kLeaseUs = 60'000'000;  // 60 s of lease time
constexpr std::uint64_t kLeaseGranuleUs =
    5'000'000;  // leases end at multiples: a busy session moves its lease entry once in 5 s
constexpr std::uint64_t kLeaseStepUs = 2'000'000;  // lease time advances at most this per batch
constexpr std::uint64_t kTombstoneUs = 86'400'000'000;  // 24 h of agreed time
constexpr std::uint64_t kMaxOpenValidityUs =
    3'600'000'000;                             // SESSION-OPEN valid_until <= exec_time + 1 h
constexpr std::size_t kMaxTombstones = 65536;  // oldest goes first: as many as sessions
constexpr std::size_t kMaxTombstonesPerPrincipal = 1024;
constexpr std::size_t kMaxOpensPerPrincipal = 4096;  // remembered digests: about one open a second
constexpr std::uint64_t kOrphanGraceUs = 2 * kLeaseUs;  // protocol §10: unlink of an open file
constexpr std::size_t kMaxExpiriesPerBatch = 64;

// ---- agreement (protocol §2)
constexpr std::size_t kMaxReplicas = 31;  // f <= 10; replica sets travel as a u32 bitmap
constexpr std::uint64_t kWindow = 128;    // L: votes for (c, c + L]
constexpr std::uint64_t kCertStall =
    32;  // a primary proposes at most this far past its certificate
// A change of the configuration that is not ready after this much agreed time is dropped: time to
// fetch some hundred GB of state (protocol §9.2).
constexpr std::uint64_t kChangeTimeoutUs = 86'400'000'000;
constexpr std::size_t kMaxEpochs = 4096;    // in one chain: one change a week for 78 years, 5 MB
constexpr std::size_t kMaxEpochSteps = 32;  // in one message: 500 KB of the largest configurations
// Files of evidence that a start reads, the newest epochs' first: every offence of every member of
// this epoch, and as many of earlier ones.
constexpr std::size_t kMaxEvidenceFiles = kMaxReplicas * 16;
constexpr std::size_t kMaxBundlesPerBatch = 256;
constexpr std::size_t kMaxOpsPerBatch = 2048;
constexpr std::size_t kMaxBatchBytes = 512 * 1024;
// Of batches that wait for their execution: all that a correct primary may have beyond its
// certificate. What exceeds it comes again with STATUS; lower numbers go first.
constexpr std::size_t kMaxWaitingBytes = kCertStall * kMaxBatchBytes;
constexpr std::uint64_t kSkewAheadUs = 500'000;     // agreed time: accepted ahead of the own clock
constexpr std::uint64_t kSkewBehindUs = 5'000'000;  // ... and behind it

// ---- what one peer may cost (protocol §5.7, §8.4)
// Signature checks of proofs (VIEW-CHANGE, NEW-VIEW, certificates, P-entries) per second and
// sender: a tenth of a core at 48 us each. The burst is three of the largest VIEW-CHANGEs of 31
// replicas (2711 signatures), or twenty-one of 4.
constexpr std::uint64_t kVerifyPerSecond = 2048;
constexpr std::uint64_t kVerifyBurst = 8192;
// All checks for a link that brought a bad signature: a third of a percent of a core, and more
// votes than a slow cluster needs.
constexpr std::uint64_t kDistrustedVerifyPerSecond = 64;
constexpr std::size_t kDeferredMessages = 8;  // of such a link, until the next tick: 8 MiB
// Answers to fetches and STATUS: a tenth of a core of encryption; a laggard has n - 1 peers to ask.
constexpr std::uint64_t kAnswerBytesPerSecond = 16 * 1024 * 1024;
constexpr std::uint64_t kAnswerBurst = 4 * 1024 * 1024;
// Votes, shares and proposals that a STATUS says it lacks, beside that: with every STATUS a faulty
// peer may lack everything. Who was away gets eight of the largest batches at once, and what is
// executed as history.
constexpr std::uint64_t kRepeatBytesPerSecond = 4 * 1024 * 1024;
constexpr std::uint64_t kRepeatBurst = 4 * 1024 * 1024;

// ---- state transfer (protocol §7.7)
// Named in one question, of 21 KB then: small subtrees must fill an answer, else a slow link's
// round trips are what a transfer takes.
constexpr std::size_t kMaxSubtrees = 256;
// Of fragments in one answer: 5 ms of a link of 50 MB/s, and 5 ms to build; a slow link brings it
// well within the time that an asker waits.
constexpr std::size_t kNodesBytes = 256 * 1024;
// What one peer gets: a tenth of a core for building and encryption, beside the same for other
// answers. An asker keeps to it, so that its questions are not dropped.
constexpr std::uint64_t kNodesBytesPerSecond = 16 * 1024 * 1024;
// A served state is kept this long after it was first named, at most: some round trips of a slow
// link. It pins a reader of the store meanwhile (protocol §3.4, §7.4).
constexpr std::uint64_t kServedStateUs = 2'000'000;

// ---- wire
constexpr std::size_t kMaxFrame = 1024 * 1024;  // any frame on a consensus or client link
constexpr std::size_t kMaxBlockFrame = kBlockSize + 4096;
constexpr std::size_t kMaxProof = 768 * 1024;  // one partial tree
constexpr std::size_t kMaxQueriesPerRead = 64;
constexpr std::size_t kMaxFreshPerLink =
    4;  // held back: a client has one round under way at a time
constexpr std::size_t kMaxPageEntries = 1000;  // entries of one listing page
constexpr std::size_t kMaxHeaderChain = 256;   // batch headers in one reply or fetch
constexpr std::size_t kMaxHost = 253;          // DNS name
constexpr std::size_t kMaxClients = 4096;      // client cards in a genesis
constexpr std::size_t kMaxAdmins = 16;

}  // namespace bftmeta::limits
