/* Sums that stay exact enough, within a work-item and across a work-group.
 *
 * A chain of additions adds CHAIN terms before what it has, with a few other chains', goes into a
 * compensated total (Kahan 1965): docs/numerics.md tells why, and how many additions a term goes
 * through in each schedule.
 *
 * `precise` where a compiler must not take (a + b) - a for b, nor a NaN for impossible. */
#include "types.glsl"

#define CHAIN 4

/* Whether the statistic need not be found from h. */
const bool STATISTIC_INPUT = RSTD_INPUT != 0 || PARTIALS_INPUT != 0;

/* Two sums side by side: of deviations, which is 0 with RMS, and of squares. */
#if ACC_DOUBLE
#define sums_t dvec2
#else
#define sums_t vec2
#endif

/* The elements of a vector, added pairwise. */
acc_t sum_lanes(const accv_t v)
{
    return (v.x + v.z) + (v.y + v.w);
}

/* What a value is off from one that may have been found from it: for a NaN, NaN, where a compiler
 * that sees x - x would take 0. */
accv_t offv(const accv_t value, const accv_t origin)
{
    precise const accv_t off = value - origin;
    return off;
}

acc_t off(const acc_t value, const acc_t origin)
{
    precise const acc_t off = value - origin;
    return off;
}

/* Adds `term` to a total whose lost part so far is `lost`. */
void add_compensated(inout accv_t total, inout accv_t lost, const accv_t term)
{
    precise const accv_t corrected = term - lost;
    precise const accv_t sum = total + corrected;
    precise const accv_t rounded = (sum - total) - corrected;
    lost = rounded;
    total = sum;
}

acc_t eps()
{
#if ACC_DOUBLE
    return packDouble2x32(uvec2(eps_low, eps_high));
#else
    return uintBitsToFloat(eps_bits);
#endif
}

/* The bits of each value, of a double the upper ones; and what those of an infinity are. Compilers
 * may take it that a value is no NaN and no infinity, but not so of its bits. */
#if ACC_DOUBLE
#define INFINITE_BITS 0x7ff00000
#define NOT_A_NUMBER packDouble2x32(uvec2(0, 0x7ff80000))
uvec4 upper_bits(const accv_t v)
{
    return uvec4(unpackDouble2x32(v.x).y, unpackDouble2x32(v.y).y, unpackDouble2x32(v.z).y,
                 unpackDouble2x32(v.w).y);
}
#else
#define INFINITE_BITS 0x7f800000
#define NOT_A_NUMBER uintBitsToFloat(0x7fc00000)
uvec4 upper_bits(const accv_t v)
{
    return floatBitsToUint(v);
}
#endif

/* Whether sums about a pivot that is `shift` off the mean are to be taken once more, about the mean:
 * where it is so far off that what `square`, shift * shift, takes from the mean of squares makes the
 * errors of both count much more, or even made the squares overflow. Not where the row holds what is
 * no number. */
bvec4 poorv(const accv_t shift, const accv_t square, const accv_t variance)
{
    const uvec4 sign_off = uvec4(0x7fffffff), infinite = uvec4(INFINITE_BITS);
    const bvec4 number = lessThan(upper_bits(shift) & sign_off, infinite);
    const bvec4 lost = greaterThanEqual(upper_bits(variance) & sign_off, infinite);
    const bvec4 far = greaterThan(acc_t(2) * square, variance);
    return mix(bvec4(false), mix(far, bvec4(true), lost), number);
}

bool is_poor(const acc_t shift, const acc_t square, const acc_t variance)
{
    return poorv(accv_t(shift), accv_t(square), accv_t(variance)).x;
}

/* sum / count, of a row in each lane, to half a unit of the last place, or a whole one where fma rounds
 * twice, and hardly more; a device's own quotient may be off by 2.5: there the mean and the variance
 * would each lose so much. The inverse serves all rows; a product with it leaves a rest that is all but
 * exact. (A double's is taken as it is.) */
accv_t dividedv(const accv_t sum, const acc_t count)
{
#if ACC_DOUBLE
    return sum / count;
#else
    precise const float inverse = 1 / count;
    precise const vec4 near = sum * inverse;
    precise const vec4 rest = fma(-near, vec4(count), sum);
    precise const vec4 result = fma(rest, vec4(inverse), near);
    return result;
#endif
}

acc_t divided(const acc_t sum, const acc_t count)
{
    return dividedv(accv_t(sum), count).x;
}

/* 1 / sqrt(variance + eps), with EPS_OUTSIDE 1 / (sqrt(variance) + eps), with EPS_FLOOR
 * 1 / max(sqrt(variance), eps), of a row in each lane:
 * inversesqrt (2 units of the last place by Vulkan's rules) and one Newton step. A variance that
 * overflowed, or is NaN, gives NaN, never the silent zero of 1 / inf. With PARTIALS_OUTPUT what goes
 * under the root stands for it.
 *
 * EPS_INVERSE: eps is beyond what the arithmetic can add or divide by, and 1 / sqrt(eps), or
 * 1 / eps, is there in its place, e below: e / sqrt(1 + variance e e), or 1 / sqrt(variance) where
 * eps is nothing beside that. Of an eps so small a variance of 0 gives 0: it may be one that
 * underflowed, and e would make anything of the row's last digits. */
accv_t inverse_rootv(const accv_t variance)
{
    const accv_t zero = accv_t(0), none = accv_t(NOT_A_NUMBER);
    const bvec4 finite = lessThan(upper_bits(variance) & 0x7fffffff, uvec4(INFINITE_BITS));
    const acc_t e = eps();
    if (PARTIALS_OUTPUT != 0)
        return variance;
    if (EPS_OUTSIDE != 0 || EPS_FLOOR != 0) {
        precise const accv_t r = inversesqrt(variance);
        precise const accv_t near = variance * r;
        precise const accv_t error = fma(-near, near, variance);
        precise const accv_t newton = fma(acc_t(0.5) * r, error, near);
        precise const accv_t root = mix(newton, zero, equal(variance, zero));
        const bool large = EPS_INVERSE != 0 && e < 1;
        precise const accv_t share = EPS_FLOOR != 0 ? accv_t(1) : 1 + root * e;
        precise const accv_t low = EPS_FLOOR != 0 ? max(root, accv_t(e)) : root + e;
        precise const accv_t sum = large ? share : EPS_INVERSE != 0 ? root : low;
        precise const accv_t quotient = acc_t(1) / sum;
        precise const accv_t rest = fma(-sum, quotient, accv_t(1));
        precise const accv_t inverse = fma(quotient, rest, quotient);
        precise const accv_t result = large ? inverse * e : inverse;
        return mix(none, mix(result, zero, equal(sum, zero)), finite);
    }
    precise const accv_t share = variance * e * e; /* with EPS_INVERSE, of the variance in eps */
    const bvec4 alone = greaterThan(share, accv_t(1.152921504606847e18)); /* 2^60 */
    precise const accv_t v =
        EPS_INVERSE != 0 ? mix(1 + share, variance, alone) : variance + e;
    precise const accv_t r = inversesqrt(v);
    precise const accv_t error = fma(-v * r, r, accv_t(1));
    precise const accv_t newton = fma(acc_t(0.5) * r, error, r);
    precise accv_t result = mix(newton, zero, equal(v, zero));
    if (EPS_INVERSE != 0) {
        result = mix(result * e, result, alone);
        result = mix(result, accv_t(e < 1 ? e : acc_t(0)), equal(share, zero));
    }
    return mix(none, result, finite);
}

acc_t inverse_root(const acc_t variance)
{
    return inverse_rootv(accv_t(variance)).x;
}

/* Rounding may leave less than nothing of a variance of nothing. NaN stays NaN: a compiler could
 * make a maximum of `variance < 0 ? 0 : variance`, which drops it. */
accv_t not_below_zero(const accv_t variance)
{
    const uvec4 bits = upper_bits(variance);
    const bvec4 nans = greaterThan(bits & 0x7fffffff, uvec4(INFINITE_BITS));
    return mix(variance, accv_t(0), greaterThan(mix(bits, uvec4(0), nans), uvec4(0x7fffffff)));
}

/* What goes under the root: of the mean of squared deviations, or with RMS of their sum, of `count`
 * columns; `others` is one less. With PARTIALS_OUTPUT it is the sum of squared deviations. */
accv_t scaled_variance_of(const accv_t variance, const acc_t count, const acc_t others)
{
    if (RMS != 0 && (L2 != 0 || PARTIALS_OUTPUT != 0))
        return variance;
    if (RMS != 0)
        return dividedv(variance, count);
    if (PARTIALS_OUTPUT != 0)
        return not_below_zero(variance) * count;
    if (UNBIASED != 0)
        return not_below_zero(variance) * divided(count, others);
    return not_below_zero(variance);
}

/* Of a whole row. */
accv_t scaled_variancev(const accv_t variance)
{
    return scaled_variance_of(variance, acc_t(columns), acc_t(columns - 1));
}

acc_t scaled_variance(const acc_t variance)
{
    return scaled_variancev(accv_t(variance)).x;
}

/* Every work-item comes here before any goes on: with all it wrote to local memory, and after all
 * it read of the buffers (y may be x). */
void meet()
{
    memoryBarrierBuffer();
    barrier();
}

#ifdef LANES
/* ---- Sums over the lanes of a row ----
 *
 * A work-group holds ROWS rows side by side, LANES work-items to each. REDUCE is how the lanes of a
 * row meet, from best to what always works. Each rung stands alone; the first two where SUBGROUPS
 * is defined:
 *
 *   REDUCE_SUBGROUP  the language's own reduction over a sub-group
 *   REDUCE_SHUFFLE   exchanges between the SUBGROUP lanes of a sub-group
 *   REDUCE_LOCAL     local memory
 *   REDUCE_SERIAL    a lane is alone with its row
 *
 * SUBGROUP is 1 where sub-groups are of the driver's own size, and 0 where there are none. Where a
 * row has more lanes than a sub-group, the sub-groups' sums meet in local memory: one barrier.
 * Where it has not, no work-item waits for one of another sub-group. */
#define REDUCE_SERIAL 0
#define REDUCE_LOCAL 1
#define REDUCE_SHUFFLE 2
#define REDUCE_SUBGROUP 3

const bool ROW_IN_SUBGROUP = LANES <= SUBGROUP;
const bool USES_BARRIERS = REDUCE != REDUCE_SERIAL && !ROW_IN_SUBGROUP;

/* A work-item's place in its group, such that each SUBGROUP neighbours are a sub-group. */
uint group_place()
{
#if SUBGROUPS
    if (SUBGROUP > 1)
        return gl_SubgroupID * SUBGROUP + gl_SubgroupInvocationID;
#endif
    return gl_LocalInvocationID.x;
}

#if SUBGROUPS
/* What the work-item at `place` of the group, one of this sub-group, passes here. All work-items of
 * the sub-group must call it. */
acc_t value_from(const acc_t value, const uint place)
{
    return subgroupShuffle(value, place % SUBGROUP);
}

sums_t subgroup_sums(const sums_t v)
{
    return sums_t(RMS != 0 ? 0 : subgroupAdd(v.x), subgroupAdd(v.y));
}

sums_t sums_from(const sums_t v, const uint place)
{
    return sums_t(RMS != 0 ? 0 : value_from(v.x, place), value_from(v.y, place));
}
#endif

/* What the lanes of a row leave in local memory: a partial sum for each, or for each sub-group; for
 * each lane, too, where the sub-groups' size is not known. */
const uint PARTIALS =
    REDUCE == REDUCE_LOCAL || SUBGROUP <= 1 ? LANES : LANES / (SUBGROUP > 1 ? SUBGROUP : 1);

/* More than 16 values are first added in FAN sums of at most FAN each: one barrier more, not one
 * for each halving. */
const bool TWO_STEPS = LANES > 16 && REDUCE == REDUCE_LOCAL; /* a constant only in this order */
const uint FAN = LANES <= 64 ? 8 : LANES <= 256 ? 16 : LANES <= 1024 ? 32 : 128;

/* The odd pitch keeps rows side by side out of each other's banks. The lanes that pass the last
 * barrier first write the next partials elsewhere than the late ones still read: with two steps the
 * other step's barrier lies between, with one there are two places that take turns. */
const uint PITCH = PARTIALS | 1;
const uint FAN_PITCH = FAN | 1;
const uint ROOM = !USES_BARRIERS ? 1
                  : TWO_STEPS    ? ROWS * (PITCH + FAN_PITCH)
                                 : 2 * ROWS * PITCH;
const uint SCRATCH = STATISTIC_INPUT ? 1 : ROOM; /* so also of gradients: a constant has none */
shared acc_t shared_sums[RMS != 0 ? 1 : SCRATCH];
shared acc_t shared_squares[SCRATCH];
shared uint votes[2];
uint turn = 0; /* each lane's own */

/* Where the partials of the row in `slot` begin, in this turn. */
uint first_partial(const uint of_turn, const uint slot)
{
    return TWO_STEPS ? slot * PITCH : (of_turn * ROWS + slot) * PITCH;
}

/* Whether the lane leaves one: each does without sub-groups, and else one of each sub-group. */
bool puts_partial(const uint lane)
{
#if SUBGROUPS
    if (REDUCE != REDUCE_LOCAL && SUBGROUP > 1)
        return lane % SUBGROUP == 0;
    if (REDUCE != REDUCE_LOCAL)
        return subgroupElect();
#endif
    return true;
}

/* Which of the row's it then is. */
uint place_of_partial(const uint lane)
{
#if SUBGROUPS
    if (REDUCE != REDUCE_LOCAL)
        return SUBGROUP > 1 ? lane / max(SUBGROUP, 1) : gl_SubgroupID;
#endif
    return lane;
}

uint count_partials()
{
#if SUBGROUPS
    if (REDUCE != REDUCE_LOCAL && SUBGROUP <= 1)
        return gl_NumSubgroups;
#endif
    return PARTIALS;
}

void put_partial(const uint at, const sums_t v)
{
    if (RMS == 0)
        shared_sums[at] = v.x;
    shared_squares[at] = v.y;
}

/* Adds the one at `base` + `i`, where i is below `count`. */
void add_partial(inout sums_t sum, const uint base, const uint i, const uint count)
{
    if (i < count)
        sum += sums_t(RMS != 0 ? 0 : shared_sums[base + i], shared_squares[base + i]);
}

/* The sum of every step-th of `count` values at `base` from `first` on. Four sums take turns, so
 * none adds more than 16 of 64. (As an array v3dv would keep them in memory.) */
sums_t add_partials(const uint base, const uint first, const uint count, const uint step)
{
    sums_t a = sums_t(0), b = a, c = a, d = a;
    for (uint i = first; i < count; i += 4 * step) {
        add_partial(a, base, i, count);
        add_partial(b, base, i + step, count);
        add_partial(c, base, i + 2 * step, count);
        add_partial(d, base, i + 3 * step, count);
    }
    return (a + c) + (b + d);
}

/* Adds up over the lanes of a row; every lane gets the sums, to the same bits. All
 * work-items must call it. Where it has a barrier, what any of them read of the buffers before
 * is read before any of them writes there after (y may be x). */
sums_t lane_sums(const sums_t own, const uint slot, const uint lane)
{
    sums_t v = own;
#if SUBGROUPS
    if (REDUCE == REDUCE_SUBGROUP)
        v = subgroup_sums(v);
    if (REDUCE == REDUCE_SHUFFLE) {
        const uint place = slot * LANES + lane;
        for (uint apart = 1; apart < SUBGROUP && apart < LANES; apart *= 2)
            v += sums_from(v, place ^ apart);
    }
#endif
    if (!USES_BARRIERS)
        return v;
    turn ^= 1;
    const uint partials = first_partial(turn, slot), count = count_partials();
    if (puts_partial(lane))
        put_partial(partials + place_of_partial(lane), v);
    if (ROWS > 1 && slot == 0 && lane == 0)
        votes[turn] = 0;
    meet();
    if (!TWO_STEPS)
        return add_partials(partials, 0, count, 1);
    const uint sums = ROWS * PITCH + slot * FAN_PITCH;
    if (lane < FAN)
        put_partial(sums + lane, add_partials(partials, lane, count, FAN));
    barrier();
    return add_partials(sums, 0, FAN, 1);
}

shared uint shared_maxima[Y_SCALE_OUTPUT != 0 ? ROOM : 1];
uint turn_of_maxima = 0;

/* The largest of every step-th of `count` values at `base` from `first` on. */
uint largest_partial(const uint base, const uint first, const uint count, const uint step)
{
    uint largest = 0;
    for (uint i = first; i < count; i += step)
        largest = max(largest, shared_maxima[base + i]);
    return largest;
}

/* The largest value of the lanes of a row, for every lane, as lane_sums: all work-items must call
 * it. */
uint lane_max(const uint own, const uint slot, const uint lane)
{
    uint v = own;
#if SUBGROUPS
    if (REDUCE == REDUCE_SUBGROUP)
        v = subgroupMax(v);
    if (REDUCE == REDUCE_SHUFFLE) {
        const uint place = slot * LANES + lane;
        for (uint apart = 1; apart < SUBGROUP && apart < LANES; apart *= 2)
            v = max(v, subgroupShuffle(v, (place ^ apart) % SUBGROUP));
    }
#endif
    if (!USES_BARRIERS)
        return v;
    turn_of_maxima ^= 1;
    const uint partials = first_partial(turn_of_maxima, slot), count = count_partials();
    if (puts_partial(lane))
        shared_maxima[partials + place_of_partial(lane)] = v;
    barrier();
    if (!TWO_STEPS)
        return largest_partial(partials, 0, count, 1);
    const uint few = ROWS * PITCH + slot * FAN_PITCH;
    if (lane < FAN)
        shared_maxima[few + lane] = largest_partial(partials, lane, count, FAN);
    barrier();
    return largest_partial(few, 0, FAN, 1);
}

/* Whether any row that shares a barrier or a sub-group with this one says yes, after lane_sums. All
 * work-items must call it; the lanes of a row say the same. */
bool any_row(const bool yes)
{
    if (ROWS == 1 || REDUCE == REDUCE_SERIAL || (ROW_IN_SUBGROUP && LANES == SUBGROUP))
        return yes;
#if SUBGROUPS
    if (ROW_IN_SUBGROUP)
        return subgroupOr(uint(yes)) != 0;
#endif
    if (yes)
        votes[turn] = 1;
    barrier();
    return votes[turn] != 0;
}
#endif
