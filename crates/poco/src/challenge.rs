//! EIP-712 challenges (spec onchain B7.2): text that an address signs, raw, to prove itself to a scheduler's log routes or
//! to the market. The domain has three members: no contract.
//!
//! Where challenges are kept, and for how long, is not decided here.

use alloy_primitives::{Address, B256, U256};
use alloy_sol_types::{Eip712Domain, SolStruct};
use serde::{Deserialize, Serialize};

mod typed {
    // The name is part of the hash.
    alloy_sol_types::sol! {
        struct Challenge { string challenge; }
    }
}

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// `iExec Core` for a scheduler, `iExec Gateway` for the market.
    pub name: String,
    /// `1`.
    pub version: String,
    /// The chain's id.
    #[serde(rename = "chainId")]
    pub chain_id: u64,
}

/// A challenge and who poses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// Who asks.
    pub domain: Domain,
    /// The text to sign.
    pub text: String,
}

impl Challenge {
    /// A scheduler's challenge for its log routes. Take only text that [`Challenge::is_unambiguous`].
    pub fn of_scheduler(chain_id: u64, text: impl Into<String>) -> Self {
        Self::of("iExec Core", chain_id, text)
    }

    /// The market's login challenge around this random text.
    pub fn of_market(chain_id: u64, random: &str) -> Self {
        let text = format!("Sign this message to log into iExec Gateway: {random}");
        Self::of("iExec Gateway", chain_id, text)
    }

    fn of(name: &str, chain_id: u64, text: impl Into<String>) -> Self {
        Self {
            domain: Domain {
                name: name.to_owned(),
                version: "1".to_owned(),
                chain_id,
            },
            text: text.into(),
        }
    }

    /// Whether every peer makes the same hash of this text. Java reads text that starts with `0x` as a number, so a
    /// scheduler draws another one instead.
    pub fn is_unambiguous(text: &str) -> bool {
        !text.starts_with("0x")
    }

    /// What is signed, raw.
    pub fn digest(&self) -> B256 {
        self.message().eip712_signing_hash(&self.eip712_domain())
    }

    /// The hash of the struct alone.
    pub fn struct_hash(&self) -> B256 {
        self.message().eip712_hash_struct()
    }

    /// The hash of the domain.
    pub fn domain_separator(&self) -> B256 {
        self.eip712_domain().separator()
    }

    /// What a client is sent: JSON that any EIP-712 library signs.
    pub fn typed_data(&self) -> TypedData {
        let member = |name: &str, kind: &str| Member {
            name: name.to_owned(),
            kind: kind.to_owned(),
        };
        TypedData {
            types: Types {
                domain: vec![
                    member("name", "string"),
                    member("version", "string"),
                    member("chainId", "uint256"),
                ],
                challenge: vec![member("challenge", "string")],
            },
            primary_type: "Challenge".to_owned(),
            domain: self.domain.clone(),
            message: Message {
                challenge: self.text.clone(),
            },
        }
    }

    fn message(&self) -> typed::Challenge {
        typed::Challenge {
            challenge: self.text.clone(),
        }
    }

    fn eip712_domain(&self) -> Eip712Domain {
        Eip712Domain {
            name: Some(self.domain.name.clone().into()),
            version: Some(self.domain.version.clone().into()),
            chain_id: Some(U256::from(self.domain.chain_id)),
            verifying_contract: None,
            salt: None,
        }
    }
}

impl From<TypedData> for Challenge {
    fn from(data: TypedData) -> Self {
        Self {
            domain: data.domain,
            text: data.message.challenge,
        }
    }
}

/// A challenge as JSON: members in the order that Java writes them, `verifyingContract` absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TypedData {
    /// The two types.
    pub types: Types,
    /// `Challenge`.
    #[serde(rename = "primaryType")]
    pub primary_type: String,
    /// Who asks.
    pub domain: Domain,
    /// The text.
    pub message: Message,
}

/// The types of a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Types {
    /// Members of the domain.
    #[serde(rename = "EIP712Domain")]
    pub domain: Vec<Member>,
    /// Members of the message.
    #[serde(rename = "Challenge")]
    pub challenge: Vec<Member>,
}

/// One member of a type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its Solidity type.
    #[serde(rename = "type")]
    pub kind: String,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// The challenge text.
    pub challenge: String,
}

/// An `Authorization` header of the form `hash_signature_address` (spec scheduler-api §4.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// The hash that the client says it signed. Never trusted: the verifier computes its own.
    pub hash: String,
    /// The signature text; its v is not looked at.
    pub signature: String,
    /// The address text, in any letter case.
    pub address: String,
}

/// A header that is not a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token is hash_signature_address: three parts with _ between them")]
pub struct NotAToken;

impl std::str::FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let mut parts = text.split('_').map(str::to_owned);
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(hash), Some(signature), Some(address), None) => Ok(Self {
                hash,
                signature,
                address,
            }),
            _ => Err(NotAToken),
        }
    }
}

impl std::fmt::Display for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}_{}_{}", self.hash, self.signature, self.address)
    }
}

impl Token {
    /// The token of a challenge signed by `signer`'s owner.
    pub fn new(challenge: &Challenge, signature: &crate::signing::Sig, signer: Address) -> Self {
        Self {
            hash: format!("{:#x}", challenge.digest()),
            signature: signature.to_string(),
            address: crate::hex::lower(&signer),
        }
    }

    /// Whether the token speaks for this address, in any letter case. Says nothing about the signature.
    pub fn is_for(&self, address: Address) -> bool {
        self.address
            .eq_ignore_ascii_case(&crate::hex::lower(&address))
    }

    /// Whether the token's signature over `challenge` is its address's.
    pub fn signs(&self, challenge: &Challenge) -> bool {
        crate::hex::address(&self.address).is_ok_and(|address| {
            crate::signing::matches_any_recovery_id(challenge.digest(), &self.signature, address)
        })
    }
}
