//! Two SHA-256 over the same bytes at once, by the CPU's instructions for it: what a piece of a file is checked against, and
//! the file.
//!
//! One SHA-256 waits for itself: each round needs the one before, and the CPU could begin another meanwhile. Two in turns take 1.45
//! times as long as one (0.84 GB/s where one does 1.23), and share the work on the words of a block. No library offers it. What
//! does not live here: one SHA-256, padding, lengths, and what is hashed (`blobs::hash`).

/// The words of a hash between two blocks: FIPS 180-4, section 6.2.2, a to h.
pub type State = [u32; 8];

/// A block: FIPS 180-4, section 5.2.1.
pub type Block = [u8; 64];

/// Takes both states through the same blocks.
pub type CompressTwo = fn(&mut State, &mut State, &[Block]);

/// How this CPU takes two hashes through the same blocks at once; `None`: it has no instructions for that.
pub fn compress_two() -> Option<CompressTwo> {
    #[cfg(target_arch = "x86_64")]
    if x86::is_offered() {
        return Some(x86::compress_two);
    }
    None
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32,
    };

    use super::{Block, State};

    /// FIPS 180-4, section 4.2.2.
    #[rustfmt::skip]
    const K: [u32; 64] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ];

    /// As the instructions have a state: a, b, e, f and c, d, g, h, the first of each in the highest lane.
    type Halves = [__m128i; 2];

    pub(super) fn is_offered() -> bool {
        is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("ssse3")
    }

    pub(super) fn compress_two(one: &mut State, other: &mut State, blocks: &[Block]) {
        assert!(is_offered());
        #[expect(unsafe_code, reason = "the compiler cannot know the CPU that it will run on")]
        // SAFETY: the CPU has the instructions that `compress` was compiled with.
        unsafe {
            compress(one, other, blocks);
        }
    }

    // Written out: with indices into arrays two went at 0.64 of the rate of one hash, so at 0.69. Without AVX: the instructions
    // have no such encoding, and beside code that had used longer registers a mix of both went at a hundredth of the rate.
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn compress(one: &mut State, other: &mut State, blocks: &[Block]) {
        let mut both = [halves(one), halves(other)];
        for block in blocks {
            let before = both;
            let [mut w0, mut w1, mut w2, mut w3] = words(block);
            both = four_rounds::<0>(both, w0);
            both = four_rounds::<1>(both, w1);
            both = four_rounds::<2>(both, w2);
            both = four_rounds::<3>(both, w3);
            w0 = next(w0, w1, w2, w3);
            both = four_rounds::<4>(both, w0);
            w1 = next(w1, w2, w3, w0);
            both = four_rounds::<5>(both, w1);
            w2 = next(w2, w3, w0, w1);
            both = four_rounds::<6>(both, w2);
            w3 = next(w3, w0, w1, w2);
            both = four_rounds::<7>(both, w3);
            w0 = next(w0, w1, w2, w3);
            both = four_rounds::<8>(both, w0);
            w1 = next(w1, w2, w3, w0);
            both = four_rounds::<9>(both, w1);
            w2 = next(w2, w3, w0, w1);
            both = four_rounds::<10>(both, w2);
            w3 = next(w3, w0, w1, w2);
            both = four_rounds::<11>(both, w3);
            w0 = next(w0, w1, w2, w3);
            both = four_rounds::<12>(both, w0);
            w1 = next(w1, w2, w3, w0);
            both = four_rounds::<13>(both, w1);
            w2 = next(w2, w3, w0, w1);
            both = four_rounds::<14>(both, w2);
            w3 = next(w3, w0, w1, w2);
            both = four_rounds::<15>(both, w3);
            for (now, before) in both.iter_mut().flatten().zip(before.iter().flatten()) {
                *now = _mm_add_epi32(*now, *before);
            }
        }
        *one = state(both[0]);
        *other = state(both[1]);
    }

    /// Four rounds of both, with four words of the schedule; `GROUP`: how many times four were before.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn four_rounds<const GROUP: usize>(both: [Halves; 2], words: __m128i) -> [Halves; 2] {
        let added = _mm_add_epi32(words, constants::<GROUP>());
        let upper = _mm_shuffle_epi32::<0b1110>(added);
        let [[abef, cdgh], [abef2, cdgh2]] = both;
        let cdgh = _mm_sha256rnds2_epu32(cdgh, abef, added);
        let cdgh2 = _mm_sha256rnds2_epu32(cdgh2, abef2, added);
        let abef = _mm_sha256rnds2_epu32(abef, cdgh, upper);
        let abef2 = _mm_sha256rnds2_epu32(abef2, cdgh2, upper);
        [[abef, cdgh], [abef2, cdgh2]]
    }

    /// The next four words of the schedule, after the sixteen before, the oldest first.
    #[inline]
    #[target_feature(enable = "sha,sse4.1,ssse3")]
    fn next(first: __m128i, second: __m128i, third: __m128i, fourth: __m128i) -> __m128i {
        let nearest = _mm_alignr_epi8::<4>(fourth, third);
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(first, second), nearest);
        _mm_sha256msg2_epu32(sum, fourth)
    }

    /// The constants of four rounds.
    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    fn constants<const GROUP: usize>() -> __m128i {
        let [first, second, third, fourth] = [0, 1, 2, 3].map(|n| K[4 * GROUP + n].cast_signed());
        _mm_set_epi32(fourth, third, second, first)
    }

    /// The words of a block, which lie in it with their highest byte first.
    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    fn words(block: &Block) -> [__m128i; 4] {
        let swapped = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let at = |place: usize| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(&block[place..place + 8]);
            i64::from_le_bytes(bytes)
        };
        [0, 16, 32, 48]
            .map(|place| _mm_shuffle_epi8(_mm_set_epi64x(at(place + 8), at(place)), swapped))
    }

    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    fn halves(state: &State) -> Halves {
        let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
        [_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h)]
    }

    #[inline]
    #[target_feature(enable = "sse4.1,ssse3")]
    fn state([abef, cdgh]: Halves) -> State {
        [
            _mm_extract_epi32::<3>(abef),
            _mm_extract_epi32::<2>(abef),
            _mm_extract_epi32::<3>(cdgh),
            _mm_extract_epi32::<2>(cdgh),
            _mm_extract_epi32::<1>(abef),
            _mm_extract_epi32::<0>(abef),
            _mm_extract_epi32::<1>(cdgh),
            _mm_extract_epi32::<0>(cdgh),
        ]
        .map(i32::cast_unsigned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4, section 5.3.3.
    const FIRST: State = [
        0x6a09_e667,
        0xbb67_ae85,
        0x3c6e_f372,
        0xa54f_f53a,
        0x510e_527f,
        0x9b05_688c,
        0x1f83_d9ab,
        0x5be0_cd19,
    ];

    /// Beside a library's, from different states, over several blocks at once.
    #[test]
    fn it_is_sha_256_twice() {
        let Some(compress_two) = compress_two() else { return };
        let mut blocks: Vec<Block> = Vec::new();
        for n in 0..9_u32 {
            let byte =
                |place: usize| (n.wrapping_mul(2_654_435_761) >> (place % 25)).to_le_bytes()[0];
            blocks.push(std::array::from_fn(byte));
            let (mut one, mut other) = (FIRST, FIRST.map(|word| word.rotate_left(n)));
            let (mut first, mut second) = (one, other);
            compress_two(&mut one, &mut other, &blocks);
            sha2::block_api::compress256(&mut first, &blocks);
            sha2::block_api::compress256(&mut second, &blocks);
            assert_eq!((one, other), (first, second), "{n}");
        }
        let (mut one, mut other) = (FIRST, FIRST);
        compress_two(&mut one, &mut other, &[]);
        assert_eq!((one, other), (FIRST, FIRST));
    }
}
