//! How large a client's requests may be.

use super::error::ProtocolError;

/// The most arguments of a request: C's `INT_MAX`, as in Redis.
const ARGS_MAX: u32 = i32::MAX as u32;

/// The most arguments before the client has authenticated, as in Redis.
const UNAUTHENTICATED_ARGS_MAX: u32 = 10;

/// The largest argument before the client has authenticated, as in Redis.
const UNAUTHENTICATED_BULK_MAX: usize = 16 * 1024;

/// The largest request in any case: offsets into it are 32 bits wide.
const REQUEST_MAX: usize = u32::MAX as usize - 1;

/// Bounds what a client may send.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RequestLimits {
    /// The largest argument, in bytes.
    pub bulk_bytes: usize,
    /// The largest request as a whole, in bytes on the wire; never more than
    /// 4 GiB, whatever it says.
    pub request_bytes: usize,
    /// Whether the client has authenticated or need not: Redis accepts only
    /// small requests before.
    pub authenticated: bool,
}

impl RequestLimits {
    /// For what was parsed once.
    pub const TRUSTED: Self = RequestLimits {
        bulk_bytes: usize::MAX,
        request_bytes: usize::MAX,
        authenticated: true,
    };

    /// Checks the number of arguments.
    pub(super) const fn check_count(&self, count: u32) -> Result<(), ProtocolError> {
        if count > ARGS_MAX {
            Err(ProtocolError::InvalidMultibulkLength)
        } else if count > UNAUTHENTICATED_ARGS_MAX && !self.authenticated {
            Err(ProtocolError::UnauthenticatedMultibulkLength)
        } else {
            Ok(())
        }
    }

    /// Checks the length of one argument.
    pub(super) const fn check_bulk(&self, len: usize) -> Result<(), ProtocolError> {
        if len > self.bulk_bytes {
            Err(ProtocolError::InvalidBulkLength)
        } else if len > UNAUTHENTICATED_BULK_MAX && !self.authenticated {
            Err(ProtocolError::UnauthenticatedBulkLength)
        } else {
            Ok(())
        }
    }

    /// Checks the length of a request as a whole, as far as it is known.
    pub(super) const fn check_request(&self, len: usize) -> Result<(), ProtocolError> {
        if len > self.request_bytes || len > REQUEST_MAX {
            Err(ProtocolError::RequestTooLarge)
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Parsed, ProtocolError as E, RequestParser};
    use super::*;

    const LIMITS: RequestLimits = RequestLimits {
        bulk_bytes: 100_000,
        request_bytes: 200_000,
        authenticated: true,
    };

    #[test]
    fn strangers_may_send_small_requests() {
        let mut parser = RequestParser::default();
        let stranger = RequestLimits {
            authenticated: false,
            ..LIMITS
        };
        let small = b"*10\r\n$16384\r\n";
        assert_eq!(parser.parse(small, &stranger), Ok(Parsed::Incomplete));
        assert_eq!(parser.needed(), small.len() + 16384 + 2);
    }

    #[test]
    fn the_request_limit_counts_every_byte() {
        for input in [&b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"[..], b"GET a\r\n"] {
            let mut limits = RequestLimits {
                request_bytes: input.len(),
                ..LIMITS
            };
            assert!(RequestParser::default().parse(input, &limits).is_ok());
            limits.request_bytes -= 1;
            assert_eq!(
                RequestParser::default().parse(input, &limits),
                Err(E::RequestTooLarge)
            );
        }
        let unlimited = RequestLimits {
            bulk_bytes: usize::MAX,
            request_bytes: usize::MAX,
            authenticated: true,
        };
        let mut parser = RequestParser::default();
        for len in [u64::from(u32::MAX), i64::MAX as u64] {
            let input = format!("*1\r\n${len}\r\n");
            assert_eq!(
                parser.parse(input.as_bytes(), &unlimited),
                Err(E::RequestTooLarge)
            );
        }
        assert_eq!(
            parser.parse(b"*1\r\n$4000000000\r\n", &unlimited),
            Ok(Parsed::Incomplete)
        );
    }
}
