//! RS256 with a key of 512 bits, made for this test and fit for nothing else: small enough to
//! compute by hand, large enough for a SHA-256 signature.

use smesec_core::decode::digest::sha256;

pub const N_URL: &str =
    "7vpK-PCzrQVqnyogPisdfcBs7qd0_s2Gt-JfqqTuOlqTAsCBLrjhTRUsUn46VKjJ7POnce0MXCv3Ma2r7Wdsyw";
pub const PEM: &str = "-----BEGIN PUBLIC KEY-----\n\
MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAO76Svjws60Fap8qID4rHX3AbO6ndP7N\n\
hrfiX6qk7jpakwLAgS644U0VLFJ+OlSoyezzp3HtDFwr9zGtq+1nbMsCAwEAAQ==\n\
-----END PUBLIC KEY-----\n";

type Number = [u64; 8];

const N: Number = [
    0xf731_adab_ed67_6ccb,
    0xecf3_a771_ed0c_5c2b,
    0x152c_527e_3a54_a8c9,
    0x9302_c081_2eb8_e14d,
    0xb7e2_5faa_a4ee_3a5a,
    0xc06c_eea7_74fe_cd86,
    0x6a9f_2a20_3e2b_1d7d,
    0xeefa_4af8_f0b3_ad05,
];
const D: Number = [
    0xe125_122c_ed3a_1179,
    0xe519_459e_1795_bb06,
    0x046f_0ec8_3f85_f393,
    0xe1b6_41ce_1d50_9566,
    0xd8d8_1426_a430_8422,
    0x250e_7387_c854_f230,
    0xd8d9_3d78_8040_d879,
    0x5306_b05f_76b8_e5e6,
];
/// 2^1024 modulo N, and -1/N modulo 2^64: Montgomery's constants.
const R2: Number = [
    0x25e8_7c42_a9f7_e0e9,
    0x3727_d240_71e1_0de4,
    0x6cb3_78c8_d67c_df33,
    0x2a2e_4f83_d5f9_5b7e,
    0x63df_9d5c_a63b_ce4d,
    0xcca5_4b80_8ab9_90aa,
    0x2b88_e8e6_c360_5fef,
    0x5f26_cacf_7e84_c1b7,
];
const N0: u64 = 0x4941_d5f2_f629_671d;

/// PKCS #1 v1.5 over SHA-256.
pub fn sign(message: &[u8]) -> Vec<u8> {
    bytes(&power(&padded(message), &D))
}

pub fn verify(message: &[u8], signature: &[u8]) -> bool {
    let Ok(signature) = <[u8; 64]>::try_from(signature) else { return false };
    power(&number(&signature), &[65_537, 0, 0, 0, 0, 0, 0, 0]) == padded(message)
}

fn padded(message: &[u8]) -> Number {
    const INFO: [u8; 19] = [
        0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01,
        0x05, 0x00, 0x04, 0x20,
    ];
    let mut block = vec![0, 1];
    block.resize(64 - 1 - INFO.len() - 32, 0xff);
    block.push(0);
    block.extend_from_slice(&INFO);
    block.extend_from_slice(&sha256(message));
    number(&block.try_into().unwrap())
}

fn number(big_endian: &[u8; 64]) -> Number {
    let mut out = [0; 8];
    for (limb, bytes) in out.iter_mut().rev().zip(big_endian.as_chunks::<8>().0) {
        *limb = u64::from_be_bytes(*bytes);
    }
    out
}

fn bytes(number: &Number) -> Vec<u8> {
    number.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}

fn power(base: &Number, exponent: &Number) -> Number {
    let one = [1, 0, 0, 0, 0, 0, 0, 0];
    let base = times(base, &R2);
    let mut result = times(&one, &R2);
    for bit in (0..512).rev() {
        result = times(&result, &result);
        if exponent[bit / 64] >> (bit % 64) & 1 == 1 {
            result = times(&result, &base);
        }
    }
    times(&result, &one)
}

/// Montgomery's product: a * b / 2^512 modulo N.
fn times(a: &Number, b: &Number) -> Number {
    let mut t = [0_u64; 10];
    for &limb in a {
        add_scaled(&mut t, b, limb);
        let m = t[0].wrapping_mul(N0);
        add_scaled(&mut t, &N, m);
        t.copy_within(1.., 0);
        t[9] = 0;
    }
    let mut less = [0; 8];
    let mut borrow = false;
    for n in 0..8 {
        let (first, b1) = t[n].overflowing_sub(N[n]);
        let (second, b2) = first.overflowing_sub(borrow.into());
        less[n] = second;
        borrow = b1 || b2;
    }
    if t[8] > 0 || !borrow { less } else { t[..8].try_into().unwrap() }
}

fn add_scaled(t: &mut [u64; 10], by: &Number, factor: u64) {
    let mut carry = 0_u128;
    for n in 0..8 {
        let sum = u128::from(t[n]) + u128::from(by[n]) * u128::from(factor) + carry;
        t[n] = low(sum);
        carry = sum >> 64;
    }
    let sum = u128::from(t[8]) + carry;
    t[8] = low(sum);
    t[9] += low(sum >> 64);
}

fn low(sum: u128) -> u64 {
    u64::try_from(sum & u128::from(u64::MAX)).unwrap()
}

#[test]
fn signatures_verify_and_others_do_not() {
    let mut signature = sign(b"message");
    assert!(verify(b"message", &signature) && !verify(b"massage", &signature));
    signature[9] ^= 1;
    assert!(!verify(b"message", &signature));
}
