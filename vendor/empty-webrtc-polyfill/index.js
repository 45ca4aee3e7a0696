// simple-peer wants these names at import time; no WebRTC connection is ever made.
const absent = class {
  constructor() {
    throw new Error('WebRTC is not part of sigmesh')
  }
}
export const RTCPeerConnection = absent
export const RTCSessionDescription = absent
export const RTCIceCandidate = absent
export default { RTCPeerConnection, RTCSessionDescription, RTCIceCandidate }
