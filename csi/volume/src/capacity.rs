//! Sizes: what a request asks for, rounded to what LVM gives.

#[cfg(test)]
mod tests;

use crate::Fs;

/// Bytes at the start of an encrypted LV that hold LUKS2's header (cryptsetup's default).
pub const LUKS_HEADER: u64 = 16 << 20;

/// The size of a volume for which nobody asks a size.
const DEFAULT: u64 = 1 << 30;

/// A size that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// `INVALID_ARGUMENT`: the specification forbids negative sizes.
    #[error("{key} {value} is negative: 0 (nothing said) or more is allowed")]
    Negative {
        /// `required_bytes` or `limit_bytes`.
        key: &'static str,
        /// The refused value.
        value: i64,
    },
    /// `INVALID_ARGUMENT`: a range that says nothing.
    #[error("capacity range is empty: one of required_bytes and limit_bytes has to be above 0")]
    Empty,
    /// `OUT_OF_RANGE`: no size satisfies both.
    #[error("limit_bytes {limit} is less than required_bytes {required}")]
    Backwards {
        /// The least size.
        required: u64,
        /// The largest size.
        limit: u64,
    },
    /// `OUT_OF_RANGE`: the limit is below what can be made.
    #[error(
        "limit_bytes {limit} is too small: the next size for {required} bytes is {next} bytes ({why})"
    )]
    Limit {
        /// The largest size asked.
        limit: u64,
        /// The least size asked.
        required: u64,
        /// The next size that can be made.
        next: u64,
        /// What makes it so.
        why: &'static str,
    },
    /// `OUT_OF_RANGE`: larger than anything.
    #[error("{required} bytes are too many: a volume has at most {most} bytes")]
    Large {
        /// What was asked.
        required: u64,
        /// What LVM can address.
        most: u64,
    },
}

impl SizeError {
    /// Whether the request itself is wrong (`INVALID_ARGUMENT`), and not only its sizes (`OUT_OF_RANGE`).
    #[must_use]
    pub fn is_invalid_argument(&self) -> bool {
        matches!(self, Self::Negative { .. } | Self::Empty)
    }
}

/// The sizes that a request accepts, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CapacityRange {
    required: u64,
    limit: Option<u64>,
}

/// What a size has to obey.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Bytes of an extent of the volume group; a power of two, not 0.
    pub extent: u64,
    /// Sizes are multiples of so many extents ([`crate::Layout::granularity`]); not 0.
    pub granularity: u64,
    /// The file system, which has a least size; `None` for a block device.
    pub fs: Option<Fs>,
    /// Bytes on the LV before the volume ([`LUKS_HEADER`] or 0).
    pub header: u64,
    /// Bytes of the source, which the volume may not be smaller than; 0 without a source.
    pub source: u64,
}

/// A chosen size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    /// Bytes of the volume, as the pod sees it.
    pub bytes: u64,
    /// Bytes of the LV: the volume and what lies before it.
    pub lv_bytes: u64,
    /// Extents of the LV.
    pub extents: u64,
}

impl CapacityRange {
    /// A range as the request has it.
    ///
    /// # Errors
    /// Negative, both 0, or the limit below what is required.
    pub fn new(required: i64, limit: i64) -> Result<Self, SizeError> {
        let number =
            |key, value| u64::try_from(value).map_err(|_| SizeError::Negative { key, value });
        let required = number("required_bytes", required)?;
        let limit = number("limit_bytes", limit)?;
        match (required, limit) {
            (0, 0) => Err(SizeError::Empty),
            (_, 0) => Ok(Self {
                required,
                limit: None,
            }),
            _ if limit < required => Err(SizeError::Backwards { required, limit }),
            _ => Ok(Self {
                required,
                limit: Some(limit),
            }),
        }
    }

    /// The least bytes; 0 when nothing was said.
    #[must_use]
    pub fn required(&self) -> u64 {
        self.required
    }

    /// The most bytes.
    #[must_use]
    pub fn limit(&self) -> Option<u64> {
        self.limit
    }

    /// Whether a volume of so many bytes is what the request asks for.
    #[must_use]
    pub fn contains(&self, bytes: u64) -> bool {
        bytes >= self.required && self.limit.is_none_or(|limit| bytes <= limit)
    }

    /// The least size that satisfies the request and `rules`. Without any range: 1 GiB or the source's
    /// size; with a limit only, not more than that.
    ///
    /// # Errors
    /// The limit is below that size, or the size is larger than LVM can address.
    pub fn choose(&self, rules: &Rules) -> Result<Chosen, SizeError> {
        let (least, why) = self.least(rules);
        let step = rules.extent.saturating_mul(rules.granularity).max(1);
        let most = most(rules);
        let large = SizeError::Large {
            required: least,
            most: most.saturating_sub(rules.header),
        };
        let lv_bytes = least
            .checked_add(rules.header)
            .and_then(|bytes| bytes.checked_next_multiple_of(step))
            .filter(|bytes| *bytes <= most)
            .ok_or(large)?;
        let bytes = lv_bytes - rules.header;
        match self.limit {
            Some(limit) if bytes > limit => Err(SizeError::Limit {
                limit,
                required: least,
                next: bytes,
                why,
            }),
            _ => Ok(Chosen {
                bytes,
                lv_bytes,
                extents: lv_bytes / rules.extent.max(1),
            }),
        }
    }

    /// What is needed before rounding, and why the result may be more than was asked.
    fn least(&self, rules: &Rules) -> (u64, &'static str) {
        let smallest = rules.fs.map_or(1, Fs::smallest);
        let asked = match (self.required, self.limit) {
            (0, None) if rules.source > 0 => rules.source,
            (0, None) => DEFAULT,
            (0, Some(limit)) => DEFAULT.min(limit),
            (required, _) => required,
        };
        if rules.source > asked && rules.source >= smallest {
            (rules.source, "the source's size")
        } else if smallest > asked {
            (smallest, "the least size of the file system")
        } else {
            (asked, "whole extents of the volume group")
        }
    }
}

/// The most bytes of an LV: extents are counted in 32 bits, and the orchestrator's sizes are signed.
fn most(rules: &Rules) -> u64 {
    let step = rules.extent.saturating_mul(rules.granularity).max(1);
    let most = rules
        .extent
        .saturating_mul(u64::from(u32::MAX))
        .min(i64::MAX.cast_unsigned());
    most / step * step
}
