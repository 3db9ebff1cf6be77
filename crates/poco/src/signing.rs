//! Signatures of the protocol: how they are made, written, and checked by each kind of verifier (spec onchain B1.3, B1.4).
//!
//! Two modes exist and are never mixed: *prefixed* (the 32-byte hash is wrapped as an Ethereum message) for
//! authorizations and headers, *raw* (the hash itself) for EIP-712 and worker logins. What we make is deterministic
//! (RFC 6979), low in s, and ends with 27 or 28. Nothing here decides whose signature is wanted.

use alloy_primitives::{Address, B256, Signature, U256, eip191_hash_message, uint};
use alloy_signer::SignerSync;
use alloy_signer::k256::ecdsa::{self, RecoveryId, VerifyingKey};
use alloy_signer_local::PrivateKeySigner;

use crate::hex::HexError;

/// Half of the order of secp256k1: the largest `s` that the contracts accept.
const HALF_ORDER: U256 =
    uint!(0x7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0_U256);

/// A signature as it travels: r (32 bytes), s (32), v (1). Ours carry v 27 or 28 and a low s; one that came from outside
/// may hold anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sig(
    /// r ‖ s ‖ v.
    pub [u8; 65],
);

/// A signature that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the wallet {wallet:#x} cannot sign: {source}")]
pub struct SigningError {
    /// The wallet's address.
    pub wallet: Address,
    /// What the signer said.
    pub source: alloy_signer::Error,
}

/// Signs `hash` as an Ethereum message of 32 bytes.
///
/// # Errors
/// [`SigningError`] when the key is unusable; a local key never is.
pub fn sign_prefixed(signer: &PrivateKeySigner, hash: B256) -> Result<Sig, SigningError> {
    sign_raw(signer, prefixed(hash))
}

/// Signs `hash` as it is.
///
/// # Errors
/// [`SigningError`] when the key is unusable; a local key never is.
pub fn sign_raw(signer: &PrivateKeySigner, hash: B256) -> Result<Sig, SigningError> {
    signer
        .sign_hash_sync(&hash)
        .map(|signature| Sig(signature.normalized_s().as_bytes()))
        .map_err(|source| SigningError {
            wallet: signer.address(),
            source,
        })
}

/// What is really signed in prefixed mode: keccak256("\x19Ethereum Signed Message:\n32" ‖ hash).
pub fn prefixed(hash: B256) -> B256 {
    eip191_hash_message(hash)
}

impl Sig {
    /// 65 zero bytes: what stands where a standard task has no enclave signature (spec onchain B9).
    pub const ZERO: Self = Self([0; 65]);

    /// The first 32 bytes.
    pub fn r(&self) -> B256 {
        let [r @ .., _] = &self.0;
        B256::from_slice(r.split_at(32).0)
    }

    /// The second 32 bytes.
    pub fn s(&self) -> B256 {
        let [r_and_s @ .., _] = &self.0;
        B256::from_slice(r_and_s.split_at(32).1)
    }

    /// The last byte: 27 or 28 in what we make, anything in what we receive.
    pub const fn v(&self) -> u8 {
        let [.., v] = self.0;
        v
    }

    /// The same signature as the contracts accept it: v 27 or 28 (from 0, 1, 27, 28) and s low. `None` when v says
    /// nothing that the contracts could be told.
    pub fn for_the_contracts(&self) -> Option<Self> {
        let odd = match self.v() {
            0 | 27 => false,
            1 | 28 => true,
            _ => return None,
        };
        let signature = Signature::new(
            U256::from_be_bytes(self.r().0),
            U256::from_be_bytes(self.s().0),
            odd,
        );
        Some(Self(signature.normalized_s().as_bytes()))
    }

    /// The 64-byte compact form (EIP-2098), which the contracts accept and Java does not. `None` as
    /// [`Sig::for_the_contracts`].
    pub fn compact(&self) -> Option<[u8; 64]> {
        let low = self.for_the_contracts()?;
        let mut bytes = [0; 64];
        let [r_and_s @ .., v] = &low.0;
        bytes.copy_from_slice(r_and_s);
        if *v == 28
            && let Some(first_of_s) = bytes.get_mut(32)
        {
            *first_of_s |= 0x80;
        }
        Some(bytes)
    }
}

/// Who signed `hash` in prefixed mode, as the Java services see it (`isSignatureValid`): r, s, v are taken as they are,
/// v from 27 to 30, s may be high. `None` when nobody can have.
pub fn recover_prefixed(hash: B256, signature: &Sig) -> Option<Address> {
    recover_raw(prefixed(hash), signature)
}

/// Who signed `digest` itself, by the same rules as [`recover_prefixed`].
pub fn recover_raw(digest: B256, signature: &Sig) -> Option<Address> {
    let recovery_id = signature.v().checked_sub(27).filter(|id| *id < 4)?;
    recover(digest, signature.r(), signature.s(), recovery_id)
}

/// Whether the signature *text* of a header or an authorization is `signer`'s in prefixed mode, as the Java services
/// decide: the text goes through [`crate::lax_hex`], bytes beyond the 65th are not looked at, fewer are a refusal.
pub fn is_valid_prefixed(hash: B256, signature: &str, signer: Address) -> bool {
    first_65(&crate::lax_hex::decode(signature))
        .and_then(|signature| recover_prefixed(hash, &signature))
        .is_some_and(|recovered| recovered == signer)
}

/// Whether the signature *text* over `digest` itself is `signer`'s under any of the four recovery ids, which is how the
/// Java scheduler checks worker logins and log tokens (`doesSignatureMatchesAddress`): v is not looked at.
pub fn matches_any_recovery_id(digest: B256, signature: &str, signer: Address) -> bool {
    let bytes = crate::lax_hex::decode(signature);
    let Some((r, rest)) = bytes.split_first_chunk::<32>() else {
        return false;
    };
    let Some((s, _)) = rest.split_first_chunk::<32>() else {
        return false;
    };
    (0..4).any(|id| recover(digest, r.into(), s.into(), id) == Some(signer))
}

/// A signature of a length for which the contracts revert rather than answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signature of {length} bytes makes the contracts revert (invalid-signature-format): it must be 64 or 65 bytes"
)]
pub struct BadLength {
    /// Bytes given.
    pub length: usize,
}

/// Whether the contracts take `signature` over `digest` for `signer`'s, when `signer` has no code (spec onchain A5):
/// 65 bytes with v 27 or 28 and a low s, or 64 bytes of EIP-2098.
///
/// Contract wallets (ERC-1271) and presigned orders are questions for the chain, not for this function.
///
/// # Errors
/// [`BadLength`] for any other length, the empty one too: the contracts then revert.
pub fn contracts_accept(
    digest: B256,
    signature: &[u8],
    signer: Address,
) -> Result<bool, BadLength> {
    Ok(recover_like_contracts(digest, signature)?.unwrap_or(Address::ZERO) == signer)
}

/// Who the contracts recover from `signature` over `digest`; `None` where their recovery gives the zero address.
///
/// # Errors
/// [`BadLength`] when the signature is neither 64 nor 65 bytes long.
pub fn recover_like_contracts(
    digest: B256,
    signature: &[u8],
) -> Result<Option<Address>, BadLength> {
    let (r, s, odd) = match *signature {
        [ref r_and_s @ .., v] if r_and_s.len() == 64 => {
            let (r, s) = r_and_s.split_at(32);
            match v {
                27 => (r, B256::from_slice(s), false),
                28 => (r, B256::from_slice(s), true),
                _ => return Ok(None),
            }
        }
        ref compact if compact.len() == 64 => {
            let (r, parity_and_s) = compact.split_at(32);
            let parity_and_s = U256::from_be_slice(parity_and_s);
            let odd = parity_and_s.bit(255);
            let s = parity_and_s & (U256::MAX >> 1);
            (r, B256::from(s), odd)
        }
        _ => {
            return Err(BadLength {
                length: signature.len(),
            });
        }
    };
    if U256::from_be_bytes(s.0) > HALF_ORDER {
        return Ok(None);
    }
    Ok(recover(digest, B256::from_slice(r), s, u8::from(odd)))
}

/// The address whose key makes (r, s) over `digest` under this recovery id (0 to 3), whether s is low or high.
fn recover(digest: B256, r: B256, s: B256, recovery_id: u8) -> Option<Address> {
    let signature = ecdsa::Signature::from_scalars(r.0, s.0).ok()?;
    let id = RecoveryId::from_byte(recovery_id)?;
    // k256 refuses a high s; its mirror image with the other parity belongs to the same key.
    let (signature, id) = match signature.normalize_s() {
        Some(low) => (low, RecoveryId::new(!id.is_y_odd(), id.is_x_reduced())),
        None => (signature, id),
    };
    VerifyingKey::recover_from_prehash(digest.as_slice(), &signature, id)
        .ok()
        .map(|key| Address::from_public_key(&key))
}

fn first_65(bytes: &[u8]) -> Option<Sig> {
    bytes.first_chunk::<65>().copied().map(Sig)
}

impl std::fmt::Display for Sig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&crate::hex::encode(self.0))
    }
}

impl std::fmt::Debug for Sig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sig({self})")
    }
}

impl std::str::FromStr for Sig {
    type Err = HexError;

    fn from_str(text: &str) -> Result<Self, HexError> {
        crate::hex::fixed::<65>(text, "a signature").map(Self)
    }
}

impl TryFrom<&[u8]> for Sig {
    type Error = HexError;

    fn try_from(bytes: &[u8]) -> Result<Self, HexError> {
        <[u8; 65]>::try_from(bytes)
            .map(Self)
            .map_err(|_| HexError::Length {
                what: "a signature",
                expected: 65,
                got: bytes.len(),
            })
    }
}

impl serde::Serialize for Sig {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Sig {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
