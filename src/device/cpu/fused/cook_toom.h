#pragma once

namespace lockstep::device::cpu::fused {

/// The matrices of Winograd's minimal filtering F(2, r), made by the Cook–Toom method: two outputs of a
/// filter with r taps from r + 1 inputs and r + 1 multiplications,
///
///   y = Aᵀ [(G g) ⊙ (Bᵀ d)],
///
/// and in two dimensions Y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A. Source: A. Lavin and S. Gray, "Fast Algorithms for
/// Convolutional Neural Networks", CVPR 2016; the method: S. Winograd, "Arithmetic Complexity of
/// Computations", SIAM 1980.
///
/// Multiplying two polynomials is evaluating both at r + 1 points, multiplying the values and interpolating;
/// filtering is the transpose of that. So a row of G and of A (one for each point a) holds powers of a, and a
/// row of Bᵀ the coefficients of the product of (x - b) over the other points b. The points are 0, ±1, ±2 and
/// infinity, those with the smallest numbers; G carries all fractions, so that only weights meet them.
///
/// For r = 5:  Bᵀ = 4  0 -5  0 1 0   G = 1/4   0     0     0    0     A = 1  0
///                  0 -4 -4  1 1 0      -1/6 -1/6  -1/6  -1/6 -1/6        1  1
///                  0  4 -4 -1 1 0      -1/6  1/6  -1/6   1/6 -1/6        1 -1
///                  0 -2 -1  2 1 0      1/24  1/12  1/6   1/3  2/3        1  2
///                  0  2 -1 -2 1 0      1/24 -1/12  1/6  -1/3  2/3        1 -2
///                  0  4  0 -5 0 1        0     0     0     0    1        0  1
///
/// Point 0 comes first, then pairs ±a, infinity last. The rows of a pair differ in the sign of odd columns
/// alone, which halves the work of applying them.
template <int kTaps>
struct CookToom {
  static constexpr int taps = kTaps;
  static constexpr int points = kTaps + 1;

  /// One row for each point.
  template <int kColumns>
  struct Matrix {
    static constexpr int rows = points, columns = kColumns;
    float row[points][kColumns] = {};
  };
  struct Matrices {
    Matrix<points> input;  ///< Bᵀ
    Matrix<kTaps> filter;  ///< G
    Matrix<2> output;      ///< A
  };

  static constexpr Matrices make() {
    static_assert(kTaps % 2 == 1 && kTaps >= 3);
    constexpr int finite = points - 1;
    double at[finite] = {};
    for (int pair = 1; 2 * pair < finite; ++pair) {
      at[2 * pair - 1] = pair;
      at[2 * pair] = -pair;
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
      for (int j = 0; j < kTaps; ++j, power *= at[p]) {
        made.filter.row[p][j] = static_cast<float>(power / value);
        if (j < 2) made.output.row[p][j] = static_cast<float>(power);
      }
    }
    made.filter.row[finite][kTaps - 1] = 1;
    made.output.row[finite][1] = 1;
    return made;
  }

  static constexpr Matrices matrices = make();
};

}  // namespace lockstep::device::cpu::fused
