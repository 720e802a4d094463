// The bf16 bits of e4m3 magnitude `code` (0..127), exact for every code. "OCP 8-bit Floating Point
// Specification", revision 1.0, table 1.
constexpr uint16_t bf16_of_e4m3(int code) {
  if (code == 127) return 0x7FC0;                                         // NaN
  if (code >= 8) return static_cast<uint16_t>((code << 4) + (120 << 7));  // exponent bias 7 becomes 127
  if (code == 0) return 0;
  const int top = code >= 4 ? 2 : code >= 2 ? 1 : 0;  // code * 2^-9 = 1.f * 2^(top - 9)
  return static_cast<uint16_t>((top - 9 + 127) << 7 | (code << (7 - top) & 0x7F));
}
