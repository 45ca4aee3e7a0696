// webtorrent tries to load this and does without when it throws. uTP stays off.
throw new Error('utp-native is not part of sigmesh')
