//! The CSI protocol: messages, clients and servers, made from csi.proto.
