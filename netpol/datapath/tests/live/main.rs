//! The programs on live traffic where a packet alone shows too little: routers' errors, fragments, NAT, tunnels.

#[cfg(test)]
mod errors;
#[cfg(test)]
mod fragments;
#[cfg(test)]
mod net;
#[cfg(test)]
mod services;
#[cfg(test)]
mod tunnel;
