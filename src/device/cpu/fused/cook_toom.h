#pragma once

namespace lockstep::device::cpu::fused {

/// The matrices of Winograd's minimal filtering F(m, r), made by the Cook–Toom method: m outputs of a filter
/// with r taps from n = m + r - 1 inputs and as many multiplications,
///
///   y = Aᵀ [(G g) ⊙ (Bᵀ d)],
///
/// and in two dimensions Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A. Source: A. Lavin and S. Gray, "Fast Algorithms for
/// Convolutional Neural Networks", CVPR 2016; the method: S. Winograd, "Arithmetic Complexity of
/// Computations", SIAM 1980.
///
/// Multiplying two polynomials is evaluating both at n points, multiplying the values and interpolating;
/// filtering is the transpose of that. So a row of G and of A (one for each point a) holds powers of a, and a
/// row of Bᵀ the coefficients of the product of (x - b) over the other points b. The points are 0, ±1, ±2,
/// ±1/2 and infinity, as many as needed, which keep the numbers small. Those of A and Bᵀ are floats; G
/// carries the thirds, so that only weights meet them.
///
/// For m = 2, r = 5:  Bᵀ = 4  0 -5  0 1 0   G = 1/4   0     0     0    0     A = 1  0
///                  0 -4 -4  1 1 0      -1/6 -1/6  -1/6  -1/6 -1/6        1  1
///                  0  4 -4 -1 1 0      -1/6  1/6  -1/6   1/6 -1/6        1 -1
///                  0 -2 -1  2 1 0      1/24  1/12  1/6   1/3  2/3        1  2
///                  0  2 -1 -2 1 0      1/24 -1/12  1/6  -1/3  2/3        1 -2
///                  0  4  0 -5 0 1        0     0     0     0    1        0  1
///
/// Point 0 comes first, then pairs ±a, infinity last. The rows of a pair differ in the sign of odd columns
/// alone, which halves the work of applying them.
template <int kOutputs, int kTaps>
struct CookToom {
  static constexpr int points = kOutputs + kTaps - 1;

  /// One row for each point.
  template <int kColumns>
  struct Matrix {
    static constexpr int rows = points, columns = kColumns;
    float row[points][kColumns] = {};
  };
  struct Matrices {
    Matrix<points> input;     ///< Bᵀ
    Matrix<kTaps> filter;     ///< G
    Matrix<kOutputs> output;  ///< A
  };

  static constexpr Matrices make() {
    constexpr double pairs[] = {1, 2, 0.5};
    static_assert(points % 2 == 0 && points <= 8, "there are points for it");
    constexpr int finite = points - 1;
    double at[finite] = {};
    for (int pair = 0; 2 * pair + 1 < finite; ++pair) {
      at[2 * pair + 1] = pairs[pair];
      at[2 * pair + 2] = -pairs[pair];
    }

    Matrices made;
    for (int p = 0; p <= finite; ++p) {
      // The product of (x - b) over the finite points b but p (all of them for infinity), and its value at p.
      double product[points] = {1};
      double value = 1;
      for (int other = 0, degree = 0; other < finite; ++other) {
        if (other == p) continue;
        for (int power = ++degree; power >= 0; --power)
          product[power] = (power > 0 ? product[power - 1] : 0) - at[other] * product[power];
        if (p < finite) value *= at[p] - at[other];
      }
      for (int j = 0; j < points; ++j) made.input.row[p][j] = static_cast<float>(product[j]);
      if (p == finite) break;
      double power = 1;
      for (int j = 0; j < kTaps || j < kOutputs; ++j, power *= at[p]) {
        if (j < kTaps) made.filter.row[p][j] = static_cast<float>(power / value);
        if (j < kOutputs) made.output.row[p][j] = static_cast<float>(power);
      }
    }
    made.filter.row[finite][kTaps - 1] = 1;
    made.output.row[finite][kOutputs - 1] = 1;
    return made;
  }

  static constexpr Matrices matrices = make();
};

}  // namespace lockstep::device::cpu::fused
