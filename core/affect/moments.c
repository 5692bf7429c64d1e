/* Moments of (prediction, gold) pairs and the agreement measures that follow from them.
 * Not here: the CCC as a loss with its gradient (backend/ref/loss.c). */
#include "affect.h"
#include "base/nan.h"
#include <math.h>

/* Two passes over the new pairs, then one merge: the mean is exact before the deviations are
 * taken, so a trace far from zero loses no digits. Sums start at the first pair, so that the mean
 * of a constant is that constant to the last bit, and its variance 0 over any number of merges. */
void mien_moments_add(mien_moments *m, const double *x, const double *y, int64_t n) {
    mien_moments part = {0};
    double first_x = 0, first_y = 0, sum_x = 0, sum_y = 0;
    for (int64_t i = 0; i < n; i++) {
        if (isnan(x[i]) || isnan(y[i])) continue;
        if (part.n == 0) first_x = x[i], first_y = y[i];
        sum_x += x[i] - first_x;
        sum_y += y[i] - first_y;
        part.n++;
    }
    part.skipped = (double)n - part.n;
    if (part.n > 0) {
        part.mean_x = first_x + sum_x / part.n;
        part.mean_y = first_y + sum_y / part.n;
        for (int64_t i = 0; i < n; i++) {
            if (isnan(x[i]) || isnan(y[i])) continue;
            double dx = x[i] - part.mean_x, dy = y[i] - part.mean_y;
            part.m2_x += dx * dx;
            part.m2_y += dy * dy;
            part.m_xy += dx * dy;
            part.squared_error += (x[i] - y[i]) * (x[i] - y[i]);
        }
    }
    mien_moments_merge(m, &part);
}

void mien_moments_merge(mien_moments *m, const mien_moments *other) {
    double skipped = m->skipped + other->skipped;
    if (m->n == 0) {
        *m = *other;
    } else if (other->n > 0) {
        double n = m->n + other->n, share = other->n / n;
        double dx = other->mean_x - m->mean_x, dy = other->mean_y - m->mean_y;
        m->m2_x += other->m2_x + dx * dx * m->n * share;
        m->m2_y += other->m2_y + dy * dy * m->n * share;
        m->m_xy += other->m_xy + dx * dy * m->n * share;
        m->mean_x += dx * share;
        m->mean_y += dy * share;
        m->squared_error += other->squared_error;
        m->n = n;
    }
    m->skipped = skipped;
}

double mien_moments_ccc(const mien_moments *m) {
    double bias = m->mean_x - m->mean_y;
    double denominator = m->m2_x + m->m2_y + m->n * bias * bias;
    return denominator > 0 ? mien__canonical(2 * m->m_xy / denominator) : NAN;
}

double mien_moments_pearson(const mien_moments *m) {
    double denominator = sqrt(m->m2_x) * sqrt(m->m2_y);
    return denominator > 0 ? mien__canonical(m->m_xy / denominator) : NAN;
}

double mien_moments_rmse(const mien_moments *m) {
    return m->n > 0 ? mien__canonical(sqrt(m->squared_error / m->n)) : NAN;
}
