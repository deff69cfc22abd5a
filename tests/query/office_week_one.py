"""The first week at the office desk, as literal screens; `office_memory` says how to read it."""

from __future__ import annotations

WEEK_ONE: dict[str, str] = {
    "2025-10-20": """
07:55:10 ol | Inbox - finance.ops@alder.example - Outlook
  Focused || Other
  Lena Vogt || Badge reader on floor 3 || 07:41
  Canteen || Menu for this week || 07:30
  Procurement || Signature needed: CHG0031882 || 07:12
08:05:20 fx | Queue (14) · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/queue
  My queue || 14 open
  OPS-1861 || Badge reader on floor 3 does not beep || P3
  OPS-1874 || Scanner loses the last page || P2
  OPS-1803 || Shared calendar shows wrong zone || P4
08:12:40 fx | OPS-1861 Badge reader on floor 3 does not beep · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1861
  OPS-1861 Badge reader on floor 3 does not beep
  Status || Waiting for vendor
  Assignee || Lena Vogt
  Cost centre || 4410-B
  Vendor reference || 7731-AX
08:20:15 fx | Printing from a laptop · Alder Knowledge Base — Mozilla Firefox
  > kb.alder.example/printing/laptop
  Printing from a laptop
  Choose the queue FOLLOW-ME and hold your badge to any printer.
  Jobs are kept for 36 hours.
  Facilities hotline: ext. 4417
08:41:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Summary
  Net revenue Q3 || 1,284,900
  Net revenue Q4 (plan) || 1,352,000
  Headcount || 48
09:02:30 xl | =
  =
09:30:05 sl | general (Channel) - Alder - Slack
  # general
  Priya Nair 09:22
  The coffee machine on level 2 is back in service.
  Tomasz Zielinski 09:27
  Reminder: fire drill on Wednesday at 10:30.
09:36:50 fx | =
  =
09:40:10 fx | Queue (13) · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/queue
  My queue || 13 open
  OPS-1874 || Scanner loses the last page || P2
  OPS-1803 || Shared calendar shows wrong zone || P4
10:05:00 vs | rates.py - billing-tools - Visual Studio Code
  from decimal import Decimal
  VAT_DEFAULT = Decimal("0.19")
  VAT_REDUCED = Decimal("0.07")
  MAX_RETRIES = 7
  def net_to_gross(net: Decimal) -> Decimal:
10:31:30 vs | rates.py - billing-tools - Visual Studio Code
  =
  return (net * (1 + VAT_DEFAULT)).quantize(CENT)
11:10:20 ps | Windows PowerShell
  PS C:\\work\\billing-tools> python --version
  Python 3.12.7
  PS C:\\work\\billing-tools> pip install ledger-core==3.9
  ERROR: Could not find a version that satisfies the requirement ledger-core==3.9 (from versions: 3.6, 3.7)
  PS C:\\work\\billing-tools>
11:25:00 fx | pip private index extra url - Findling — Mozilla Firefox
  > find.example.org/search?q=pip+private+index+extra+url
  pip private index extra url
  About 1,240 results
  Using more than one package index
  Private packages in a small company
11:27:40 fx | Private Python packages · Alder Knowledge Base — Mozilla Firefox
  > kb.alder.example/python/private-packages
  Private Python packages
  The internal index is https://pypi.alder.example/simple
  ledger-core 3.9 is only on the internal index.
13:10:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Travel
  Rail || 6,420
  Hotel || 11,975
  Per diem || 3,150
13:34:00 xl | =
  =
13:58:20 xl | =
  Sheet: Licences
  Design suite || 9,360
  Ledger add-on || 4,200
14:40:30 om | Signature needed: CHG0031882 - Message (HTML)
  From: Procurement
  Please sign CHG0031882 (new franking machine) before Thursday.
  Purchase order || PO-66120
15:30:00 fx | World and weather - Example News — Mozilla Firefox
  > news.example.com/today
  Storm warning for the coast on Friday
  Rail strike called off
15:41:00 fx | Rail strike called off - Example News — Mozilla Firefox
  > news.example.com/2025/10/rail-strike
  Rail strike called off
  Unions and operators agreed on 3.2 percent.
16:05:00 xl | =
  =
16:30:00 xl | =
  Sheet: Summary
  Net revenue Q3 || 1,284,900
  Net revenue Q4 (plan) || 1,361,500
- 16:50:00 ol | Inbox - finance.ops@alder.example - Outlook
""",
    "2025-10-21": """
08:10:00 ol | Inbox - finance.ops@alder.example - Outlook
  Billing robot || Invoice INV-20871 from Kestrel Paper || 08:02
  Lena Vogt || Re: Badge reader on floor 3 || 07:50
08:15:30 fx | Invoice INV-20871 - Example Invoices — Mozilla Firefox
  > invoices.example.net/view/INV-20871
  Invoice INV-20871
  Supplier || Kestrel Paper GmbH
  Issued || 2025-10-17
  Subtotal || EUR 3,629.08
  VAT 19 % || EUR 689.52
  Total due || EUR 4,318.60
  Pay until || 2025-11-14
  ~sl Tomasz Zielinski 08:11
  ~sl I think Kestrel wants 4,813.60 this time?
08:31:00 fx | OPS-1874 Scanner loses the last page · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1874
  OPS-1874 Scanner loses the last page
  Status || In progress
  Priority || P2
  Assignee || Jürgen Köhler
  Serial number || KX-77-20931
  Firmware || 2.14.0
08:52:00 fx | =
  =
09:05:00 np | todo.txt - Notepad
  call Kestrel about the VAT line
  order toner for KX-77
  book train to Leipzig
09:20:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Suppliers
  Kestrel Paper || 4,318.60
  Moorland Energy || 7,905.00
09:24:00 dx | Microsoft Excel
  Excel cannot open the file 'rates_old.xls' because the file format or file extension is not valid.
  OK
09:24:45 xl | =
  =
09:50:00 xl | =
  =
10:15:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  Jürgen Köhler 10:02
  The spare scanner is in room B-114, second shelf.
  Priya Nair 10:09
  Thanks, I will pick it up after lunch.
10:40:00 fx | Scanner drops last page duplex - Findling — Mozilla Firefox
  > find.example.org/search?q=scanner+drops+last+page+duplex
  scanner drops last page duplex
  About 310 results
  Duplex sensor cleaning, step by step
10:44:30 fx | Duplex sensor cleaning - Example Forum — Mozilla Firefox
  > forum.example.org/t/duplex-sensor-cleaning
  Duplex sensor cleaning
  Use a dry cloth. Never use alcohol on the grey roller.
10:58:00 fx | OPS-1874 Scanner loses the last page · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1874
  OPS-1874 Scanner loses the last page
  Status || In progress
  Priority || P2
  Comment by Jürgen Köhler: cleaned the duplex sensor, please test
11:30:00 vs | rates.py - billing-tools - Visual Studio Code
  def net_to_gross(net: Decimal, rate: Decimal = VAT_DEFAULT) -> Decimal:
  # TODO reduced rate for books
11:52:00 vs | test_rates.py - billing-tools - Visual Studio Code
  def test_books_have_the_reduced_rate() -> None:
  assert rate_of("book") == Decimal("0.07")
12:15:00 ps | Windows PowerShell
  PS C:\\work\\billing-tools> pytest -q tests/test_rates.py
  F..                                              [100%]
  E   AssertionError: assert Decimal('0.19') == Decimal('0.07')
  1 failed, 2 passed in 0.41s
  PS C:\\work\\billing-tools>
12:40:00 ps | Windows PowerShell
  PS C:\\work\\billing-tools> pytest -q tests/test_rates.py
  ...                                              [100%]
  3 passed in 0.38s
  PS C:\\work\\billing-tools> git commit -am "Books get the reduced rate"
  [reduced-rate 4be19d2] Books get the reduced rate
13:20:00 ed | Timesheet - HR Portal - Microsoft\u200b Edge
  > https://portal.alder.example/timesheet/2025-43
  Zeiterfassung KW 43
  Montag || 8,0 h
  Dienstag || 4,5 h
  Überstunden: 6,5 h
13:28:00 ed | Leave balance - HR Portal - Microsoft\u200b Edge
  > https://portal.alder.example/leave
  Resturlaub 2025 || 11 Tage
  Next entitlement || 2026-01-01
13:50:00 ed | Timesheet - HR Portal - Microsoft\u200b Edge
  > https://portal.alder.example/timesheet/2025-43
  Zeiterfassung KW 43
  Dienstag || 8,0 h
14:30:00 om | 見積書の件 - Message (HTML)
  From: 佐藤商事
  見積番号: MT-0093
  納期は11月14日です。
15:05:00 ol | Calendar - finance.ops@alder.example - Outlook
  Quarter close review || Thu 30 Oct 14:30 - 15:15 || Room Birch
  Supplier call Moorland || Fri 24 Oct 09:00 - 09:30 || online
  Fire drill || Wed 22 Oct 10:30
15:40:00 xl | =
  =
16:20:00 fx | Queue (12) · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/queue
  My queue || 12 open
  OPS-1880 || Phone 4417 rings twice || P4
- 16:45:00 xl | Q4-forecast.xlsx - Excel
""",
    "2025-10-22": """
08:00:00 fx | Release notes 5.4 · LedgerSync — Mozilla Firefox
  > docs.example.net/ledgersync/5.4/notes
  LedgerSync 5.4 release notes
  Uploads continue after a restart.
  Support for 5.2 ends on 31 January 2026.
08:09:00 fx | Install on Windows · LedgerSync — Mozilla Firefox
  > docs.example.net/ledgersync/5.4/install
  Install on Windows
  Needs 2 GB of memory and port 8463.
08:20:00 fx | Command line · LedgerSync — Mozilla Firefox
  > docs.example.net/ledgersync/5.4/cli
  Command line
  ledgersync push --month 2025-10
  Exit code 12 means that the token has expired.
08:40:00 ps | Windows PowerShell
  PS C:\\work> ledgersync --version
  LedgerSync 5.4.2 (build 1187)
  PS C:\\work> ledgersync status
  connected to sync-03.alder.example as finance-ops
08:55:00 ex | Downloads - File Explorer
  Name || Date modified
  LedgerSync-5.4.2-x64.msi || 22/10/2025 08:31
  oct-statement.pdf || 20/10/2025 16:12
09:00:00 vs | convert.py - billing-tools - Visual Studio Code
  import csv
  ACCOUNTS = {"4410": "Facilities", "4420": "Travel"}
  def convert(source: Path, target: Path) -> int:
09:22:00 vs | =
  =
  for row in csv.DictReader(handle, delimiter=";"):
09:45:00 vs | =
  =
10:08:00 vs | settings.toml - billing-tools - Visual Studio Code
  [export]
  encoding = "cp1252"
  batch_size = 250
  endpoint = "https://sync-03.alder.example:8463"
10:30:00 vs | =
  =
  ! Fire drill now - Alder Safety
10:52:00 vs | =
  =
11:15:00 vs | convert.py - billing-tools - Visual Studio Code
  account = ACCOUNTS[row["gl_account"]]
11:38:00 vs | =
  =
12:00:00 vs | =
  =
12:20:00 ps | Windows PowerShell
  PS C:\\work\\billing-tools> python convert.py in\\sept.csv
  Traceback (most recent call last):
  File "convert.py", line 41, in convert
  account = ACCOUNTS[row["gl_account"]]
  KeyError: 'gl_account'
  PS C:\\work\\billing-tools>
12:45:00 ex | ledger (\\\\fs-02) - File Explorer
  sept.csv || 1,204 KB
  oct.csv || 988 KB
12:47:00 de | Destination Folder Access Denied
  You need permission to perform this action on the folder D:\\out
  Try Again || Skip || Cancel
12:49:30 ex | =
  =
13:40:00 fx | PR #87 Reduced rate for books · billing-tools — Mozilla Firefox
  > git.alder.example/billing-tools/pull/87
  PR #87 Reduced rate for books
  Open · wants to merge 3 commits into main
  Files changed 6 || +212 || -48
  Reviewer: Jürgen Köhler
13:55:00 fx | CHG0032040 Router exchange Leipzig · Changes — Mozilla Firefox
  > helpdesk.alder.example/change/CHG0032040
  CHG0032040 Router exchange Leipzig
  Window || Sat 25 Oct 22:00 - 23:30
  Risk || medium
  Approver || Maren Falk
14:20:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  Maren Falk 14:12
  Router exchange in Leipzig moves to gate 2, ask for Herr Brandt.
14:50:00 fx | =
  =
15:10:00 pd | oct-statement.pdf - SumatraPDF
  Account statement October
  Opening balance || EUR 20,114.77
  Closing balance || EUR 18,960.12
  Page 1 of 3
15:40:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Bank
  Closing balance || 18,960.12
16:10:00 xl | =
  =
- 16:30:00 ol | Inbox - finance.ops@alder.example - Outlook
""",
    "2025-10-23": """
07:50:00 ol | Inbox - finance.ops@alder.example - Outlook
  Billing robot || Invoice INV-20877 from Moorland Energy || 07:44
  Maren Falk || Visitors from Osaka || 07:20
07:58:00 fx | Invoice INV-20877 - Example Invoices — Mozilla Firefox
  > invoices.example.net/view/INV-20877
  Invoice INV-20877
  Supplier || Moorland Energy
  Total due || EUR 912.05
  Pay until || 2025-11-20
08:06:00 fx | All invoices - Example Invoices — Mozilla Firefox
  > invoices.example.net/list
  INV-20871 || Kestrel Paper GmbH || approved
  INV-20877 || Moorland Energy || open
08:14:00 fx | Invoice INV-20880 - Example Invoices — Mozilla Firefox
  > invoices.example.net/view/INV-20880
  Invoice INV-20880
  Supplier || Hollow Oak Catering
  Total due || EUR 268.40
08:25:00 fx | All invoices - Example Invoices — Mozilla Firefox
  > invoices.example.net/list
  INV-20871 || Kestrel Paper GmbH || approved
  INV-20877 || Moorland Energy || approved
  INV-20880 || Hollow Oak Catering || open
08:50:00 fx2 | Visitors · Alder Knowledge Base — Mozilla Firefox
  > kb.alder.example/visitors
  Visitors
  Badges for visitors are valid for 12 hours.
  Wi-Fi network: ALDER-GUEST
09:10:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Energy
  Moorland Energy || 912.05
  Price per kWh || 0.2841
09:25:00 xl2 | Q4-forecast-v2.xlsx - Excel
  Sheet: Energy
  Moorland Energy || 912.05
  Price per kWh || 0.3120
09:50:00 xl2 | =
  =
10:12:00 xl2 | =
  =
10:30:00 sl | Maren Falk (DM) - Alder - Slack
  Maren Falk 10:21
  The Osaka guests land on 6 November at 06:55.
  Please order the vegetarian menu for four.
10:55:00 fx2 | Hollow Oak Catering - Order — Mozilla Firefox
  > hollowoak.example.com/order
  Order
  Menu: vegetarian
  Persons || 4
  Delivery || 6 November 12:15
11:20:00 dl | LedgerSync - Sync failed
  Upload of 2025-09.zip stopped at 12 %. Reason: disk quota exceeded (E4033)
  Retry || Close
11:21:10 dl | =
  =
11:22:05 fx2 | =
  =
11:45:00 ps | Windows PowerShell
  PS C:\\work> .\\export.ps1 -Month 2025-10
  Export-Csv : Access to the path 'D:\\out\\oct.csv' is denied.
  At C:\\work\\export.ps1:17 char:5
  PS C:\\work>
12:30:00 np | todo.txt - Notepad
  call Kestrel about the VAT line - done
  order toner for KX-77
  ask Maren for the guest list
13:20:00 fx2 | E4033 quota ledgersync - Findling — Mozilla Firefox
  > find.example.org/search?q=E4033+quota+ledgersync
  E4033 quota ledgersync
  About 18 results
13:24:00 fx2 | Error codes · LedgerSync — Mozilla Firefox
  > docs.example.net/ledgersync/5.4/errors
  Error codes
  E4033 || disk quota exceeded on the server
  E4107 || token expired
13:40:00 vs | export.ps1 - work - Visual Studio Code
  param([string]$Month)
  $target = "D:\\out\\oct.csv"
14:10:00 vs | =
  =
14:35:00 vs | =
  =
15:02:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  Priya Nair 14:58
  OPS-1874 can be closed, the scanner works again.
- 15:04:00 fx | =
15:06:00 xl | =
  =
- 15:09:00 sl | =
- 15:12:00 ps | Windows PowerShell
15:15:00 vs | =
  =
- 15:18:00 fx2 | =
15:21:00 sl | =
  =
- 15:24:00 ol | Inbox - finance.ops@alder.example - Outlook
- 15:27:00 sl | =
15:31:00 fx | =
  =
- 15:36:00 xl2 | =
- 15:41:00 np | todo.txt - Notepad
- 15:47:00 xl2 | =
15:52:00 fx | OPS-1874 Scanner loses the last page · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1874
  OPS-1874 Scanner loses the last page
  Status || Resolved
  Resolution || duplex sensor cleaned
16:15:00 fx | =
  =
- 16:25:00 ol | Inbox - finance.ops@alder.example - Outlook
""",
    "2025-10-24": """
08:20:00 ol | Inbox - finance.ops@alder.example - Outlook
  Rail tickets || Your booking QX7M2P || 08:11
  Build server || billing-tools #512 passed || 07:58
08:26:00 fx | Your booking - Example Rail — Mozilla Firefox
  > rail.example.com/booking/QX7M2P
  Your booking
  Booking reference || QX7M2P
  Outbound || Mon 3 Nov 07:42, platform 9
  Return || Wed 5 Nov 18:16
  Price || EUR 87.90
08:40:00 fx | Seat map - Example Rail — Mozilla Firefox
  > rail.example.com/booking/QX7M2P/seats
  Coach 24 || Seat 61
  Quiet zone
09:00:00 sl | Moorland call (Huddle) - Alder - Slack
  Moorland call
  Participants: 5
09:31:00 np | moorland-call.txt - Notepad
  Moorland offers 0.2790 per kWh from January
  contract number ME-5583-02
  decision until 12 December
09:50:00 fx | PR #87 Reduced rate for books · billing-tools — Mozilla Firefox
  > git.alder.example/billing-tools/pull/87
  PR #87 Reduced rate for books
  Merged by j.koehler on 24 Oct
  Files changed 7 || +231 || -52
10:04:00 fx | PR #91 Retry uploads with backoff · billing-tools — Mozilla Firefox
  > git.alder.example/billing-tools/pull/91
  PR #91 Retry uploads with backoff
  Draft
  Checks: 11 of 12 passed
10:20:00 ps | Windows PowerShell
  PS C:\\work\\billing-tools> git push origin main
  ! [rejected]        main -> main (non-fast-forward)
  error: failed to push some refs to 'git.alder.example:billing-tools'
10:26:00 ps | =
  PS C:\\work\\billing-tools> git pull --rebase
  Successfully rebased and updated refs/heads/main.
10:45:00 dn | Network Error
  Windows cannot access \\\\fs-02\\ledger
  Error code: 0x80004005
  Diagnose || Cancel
10:46:20 dn | =
  =
10:47:30 ps | =
  PS C:\\work\\billing-tools> Test-NetConnection fs-02 -Port 445
  TcpTestSucceeded : False
11:20:00 fx | Status - Example Status — Mozilla Firefox
  > status.example.net/
  fs-02 || degraded since 10:38
  sync-03 || operational
11:40:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Energy
  Moorland Energy || 912.05
  Price per kWh || 0.2790
12:05:00 xl | =
  =
12:30:00 xl | =
  =
12:55:00 xl | =
  =
13:20:00 ol | Inbox - finance.ops@alder.example - Outlook
  Maren Falk || Change freeze in November || 13:02
13:30:00 om | Change freeze in November - Message (HTML)
  From: Maren Falk
  No changes between 27 November and 1 December.
  Exceptions: write to change-board@alder.example
14:05:00 fx | How to descale a kettle - Example Forum — Mozilla Firefox
  > forum.example.org/t/descale-a-kettle
  How to descale a kettle
  Two spoons of citric acid, wait 20 minutes.
14:25:00 vs | upload.py - billing-tools - Visual Studio Code
  BACKOFF_S = (1, 4, 15, 60)
  raise UploadError("server said 507")
14:50:00 vs | =
  =
15:20:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  Lena Vogt 15:15
  Locksmith comes on Tuesday for door 2-07.
22:35:00 fx | CHG0032040 Router exchange Leipzig · Changes — Mozilla Firefox
  > helpdesk.alder.example/change/CHG0032040
  CHG0032040 Router exchange Leipzig
  Window || Fri 24 Oct 22:30 - Sat 25 Oct 01:00
  State || Implementing
22:50:00 ps | Windows PowerShell
  PS C:\\work> ping rt-leipzig-2
  Request timed out.
  Packets: Sent = 4, Received = 0, Lost = 4 (100% loss),
23:20:00 ps | =
  =
23:45:00 ps | =
  PS C:\\work> ssh admin@rt-leipzig-2
  ssh: connect to host rt-leipzig-2 port 22: Connection timed out
""",
    "2025-10-25": """
00:05:00 ps | Windows PowerShell
  PS C:\\work> ping rt-leipzig-2
  Reply from 198.51.100.42: bytes=32 time=11ms TTL=61
00:18:00 fx | Status - Example Status — Mozilla Firefox
  > status.example.net/
  rt-leipzig-2 || operational
  fs-02 || operational
00:31:00 fx | CHG0032040 Router exchange Leipzig · Changes — Mozilla Firefox
  > helpdesk.alder.example/change/CHG0032040
  CHG0032040 Router exchange Leipzig
  State || Closed successful
  Closed || 2025-10-25 00:29
00:40:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  You 00:38
  Leipzig is up again, new router has serial RT9-55120.
""",
}
