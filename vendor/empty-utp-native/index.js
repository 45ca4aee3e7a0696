// webtorrent takes a module without exports for a platform without uTP, and says nothing. uTP stays off.
export {}
