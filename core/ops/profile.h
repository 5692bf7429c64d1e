/* Booking of what ran and how long it took.
 * Not here: printing (lua/mien/device/profile.lua). */
#ifndef MIEN_PROFILE_H
#define MIEN_PROFILE_H
#include "ops.h"

/* The time now while profiling is on, else 0; what the booking functions want as `start`. */
double mien__profile_start(void);
/* Books one pass of an op. Without a start it counts the call, and nothing more. */
void mien__profile_op(double start, const mien_op_call *call, bool backward, const char *backend,
                      const char *implementation);
/* Books work beside ops under a name that lasts (a literal): `flops` and the bytes of n tensors. */
void mien__profile_work(double start, const char *name, double flops, mien_tensor *const *tensors,
                        int n);
#endif
