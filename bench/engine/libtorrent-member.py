"""libtorrent in a process of its own: libtorrent-member.py OPTIONS. A line of JSON on its input is the list of its peers."""
import json, sys, threading, time
import libtorrent as lt

options = json.loads(sys.argv[1])
session = lt.session({
    'listen_interfaces': '%s:%d' % (options['host'], options['port']),
    'enable_dht': False, 'enable_lsd': False, 'enable_upnp': False, 'enable_natpmp': False,
    'enable_outgoing_utp': False, 'enable_incoming_utp': False, 'allow_multiple_connections_per_ip': True,
    'alert_mask': lt.alert.category_t.status_notification,
})
params = {'ti': lt.torrent_info(options['torrent']), 'save_path': options['directory']}
handle = session.add_torrent(params)

def peers():
    for line in sys.stdin:
        for peer in json.loads(line):
            handle.connect_peer((peer['host'], peer['port']))

while not handle.status().has_metadata or str(handle.status().state) in ('checking_files', 'checking_resume_data'):
    time.sleep(0.01)
print('listening')
threading.Thread(target=peers, daemon=True).start()
complete = False
while True:
    if not complete and handle.status().is_seeding:
        complete = True
        print('complete')
    session.wait_for_alert(20 if not complete else 1000)
    session.pop_alerts()
