/* The timed calls of bench/peers.py, as a shared library, so that all take turns in one process and
 * no interpreter is inside the time measured.
 *
 * Every peer has `slots` copies of its tensors, so that a run can be on cold memory. Times are in
 * seconds, negative where a call failed: peer_message() then tells why. */
#ifndef BENCH_PEER_CALLS_H
#define BENCH_PEER_CALLS_H

#include <stdint.h>

#include "rounds.h"

#define EXPORT __attribute__((visibility("default")))

/* What bench/peers.py hands over, in its order: Y is dy of gradients. */
enum { X, Y, WEIGHT, BIAS, MEAN, RSTD, VARIANCE, DX, DWEIGHT, DBIAS, GIVEN };

EXPORT const char *peer_message(void);
EXPORT struct anynorm_peer *peer_anynorm_make(const char *device, const char *spec,
                                              const char *schedule, uint64_t slots,
                                              const void *const *given);
EXPORT const char *peer_anynorm_choice(const struct anynorm_peer *peer);
EXPORT const char *peer_anynorm_device(const struct anynorm_peer *peer);
EXPORT double peer_anynorm_run(struct anynorm_peer *peer, int schedule, uint64_t slot);
EXPORT void peer_anynorm_free(struct anynorm_peer *peer);
EXPORT const char *peer_onednn_version(void);
EXPORT struct onednn_peer *peer_onednn_make(int64_t rows, int64_t columns, const char *type,
                                            float eps, int backward);
EXPORT double peer_onednn_run(struct onednn_peer *peer, void *const *given);
EXPORT void peer_onednn_free(struct onednn_peer *peer);

/* Sets the message. */
void peer_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
