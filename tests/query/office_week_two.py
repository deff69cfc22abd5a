"""The second week at the office desk, as literal screens; `office_memory` says how to read it."""

from __future__ import annotations

WEEK_TWO: dict[str, str] = {
    "2025-10-27": """
08:05:00 ol | Inbox - finance.ops@alder.example - Outlook
  Help desk || OPS-1902 was assigned to you || 07:59
  Canteen || Pumpkin week || 07:30
08:12:00 fx | OPS-1902 Payroll export has empty lines · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1902
  OPS-1902 Payroll export has empty lines
  Status || New
  Priority || P1
  Assignee || Finance Ops
  Reported by || Oskar Lind
08:30:00 fx | Payroll exports · Alder Knowledge Base — Mozilla Firefox
  > kb.alder.example/payroll/exports
  Payroll exports
  Retention period for payroll exports: 84 months
  File format: semicolon, cp1252, CRLF
08:37:00 fx | Search: empty lines · Alder Knowledge Base — Mozilla Firefox
  > kb.alder.example/search?q=empty+lines
  2 results for empty lines
  Why a CSV file has empty lines
08:39:00 fx | Why a CSV file has empty lines · Alder Knowledge Base — Mozilla Firefox
  > kb.alder.example/python/csv-empty-lines
  Why a CSV file has empty lines
  Open the target with newline="" on Windows.
08:55:00 vs | payroll.py - billing-tools - Visual Studio Code
  with target.open("w", encoding="cp1252") as handle:
  writer = csv.writer(handle, delimiter=";")
09:20:00 vs | =
  with target.open("w", encoding="cp1252", newline="") as handle:
  writer = csv.writer(handle, delimiter=";")
09:41:00 ps | Windows PowerShell
  PS C:\\work\\billing-tools> python payroll.py --month 2025-09
  wrote 1,318 lines to out\\payroll-2025-09.csv
10:05:00 fx | OPS-1902 Payroll export has empty lines · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1902
  OPS-1902 Payroll export has empty lines
  Status || In progress
  Comment by Finance Ops: fixed with newline, please test
10:20:00 ed | Timesheet - HR Portal - Microsoft\u200b Edge
  > https://portal.alder.example/timesheet/2025-44
  Zeiterfassung KW 44
  Montag || 2,0 h
  Überstunden: 7,0 h
10:45:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Headcount
  Operations || 17
  Finance || 9
  Support || 22
11:10:00 xl | =
  =
11:30:00 xl2 | Q4-forecast-v2.xlsx - Excel
  Sheet: Headcount
  Operations || 18
  Finance || 9
  Support || 21
11:50:00 xl2 | =
  =
12:15:00 sl | general (Channel) - Alder - Slack
  # general
  Oskar Lind 12:01
  Lost: a green umbrella, near room Birch.
13:05:00 xl | =
  =
13:30:00 xl | =
  Sheet: Summary
  Net revenue Q3 || 1,284,900
  Net revenue Q4 (plan) || 1,398,250
13:55:00 xl | =
  =
14:20:00 xl | =
  =
14:45:00 xl | =
  =
15:10:00 fx | World and weather - Example News — Mozilla Firefox
  > news.example.com/today
  Clocks went back on Sunday
  New bridge opens in May
15:20:00 fx | New bridge opens in May - Example News — Mozilla Firefox
  > news.example.com/2025/10/new-bridge
  New bridge opens in May
  The toll is 3.40 for cars.
15:50:00 np | todo.txt - Notepad
  order toner for KX-77 - done
  renew parking permit before 15 November
- 16:10:00 ol | Inbox - finance.ops@alder.example - Outlook
""",
    "2025-10-28": """
07:55:00 sl | general (Channel) - Alder - Slack
  # general
  Priya Nair 07:48
  The month-end freeze starts on Friday at 17:00.
  Lena Vogt 07:51
  The locksmith is here, door 2-07 is open until ten.
08:10:00 fx | Month end plan October · Alder Knowledge Base — Mozilla Firefox
  > kb.alder.example/finance/month-end-october
  Month end plan October
  Accruals || Priya Nair || 29 Oct
  Bank match || Oskar Lind || 30 Oct
  Upload || Finance Ops || 31 Oct 17:30
08:25:00 fx | Queue (9) · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/queue
  My queue || 9 open
  OPS-1905 || Projector in Birch stays dark || P3
08:33:00 fx | OPS-1905 Projector in Birch stays dark · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1905
  OPS-1905 Projector in Birch stays dark
  Assignee || Lena Vogt
  Asset tag || AV-00317
  Warranty until || 2026-08-31
08:50:00 ps | Windows PowerShell
  PS C:\\work\\dashboard> npm run build
  src/App.tsx(27,9): error TS2345: Argument of type 'string' is not assignable to parameter of type 'number'.
  npm ERR! code ELIFECYCLE
09:05:00 vs | App.tsx - dashboard - Visual Studio Code
  const [month, setMonth] = useState<number>(10);
  <MonthPicker onChange={(m) => setMonth(Number(m))} />
09:25:00 vs | =
  =
09:40:00 ps | =
  PS C:\\work\\dashboard> npm run build
  built in 4.82s
  PS C:\\work\\dashboard> npm run preview
  Local: http://localhost:4173/
09:44:00 fx | Ledger dashboard — Mozilla Firefox
  > localhost:4173/
  Ledger dashboard
  Open items || 37
  Matched || 1,902
09:52:00 fx | Ledger dashboard — Mozilla Firefox
  > localhost:4173/month/10
  Ledger dashboard
  Month || October
  Difference || EUR 14.20
10:10:00 dd | Low disk space warning
  Drive D: has 640 MB free of 476 GB. Empty the folder D:\\out soon.
  OK
10:10:50 ex | out - File Explorer
  payroll-2025-09.csv || 214 KB
  oct-dump.bak || 38,110,204 KB
10:30:00 ex | =
  payroll-2025-09.csv || 214 KB
10:50:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Accruals
  Cleaning || 2,150
  Audit fee || 18,000
11:15:00 xl | =
  =
11:40:00 sl | Priya Nair (DM) - Alder - Slack
  Priya Nair 11:36
  Audit fee must be 18,500, the letter came today.
11:45:00 xl | =
  Sheet: Accruals
  Cleaning || 2,150
  Audit fee || 18,500
12:10:00 xl | =
  =
13:00:00 fx | Train strike update - Example News — Mozilla Firefox
  > news.example.com/2025/10/strike-update
  Train strike update
  No strikes before 12 November.
13:10:00 fx | exchange rate yen euro - Findling — Mozilla Firefox
  > find.example.org/search?q=exchange+rate+yen+euro
  exchange rate yen euro
  About 2,050,000 results
13:12:00 fx | Currency table - Example Rates — Mozilla Firefox
  > rates.example.com/table
  Currency table
  EUR/JPY || 177.41
  EUR/GBP || 0.8714
  EUR/USD || 1.1652
13:40:00 om | 見積書の件 - Message (HTML)
  From: 佐藤商事
  見積番号: MT-0107
  合計 ¥482,000
14:05:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  Tomasz Zielinski 13:59
  Fuse box plan is in the blue folder, cabinet 6.
14:30:00 pd | audit-letter.pdf - SumatraPDF
  Audit letter 2025
  Engagement number || AU-25-3391
  Fee || EUR 18,500.00
  Partner: Dr. Ines Albrecht
14:55:00 pd | =
  =
15:20:00 pd | =
  Audit letter 2025
  Page 2 of 4
15:45:00 ol | Inbox - finance.ops@alder.example - Outlook
  Priya Nair || Audit fee || 15:31
- 16:20:00 sl | =
""",
    "2025-10-29": """
08:00:00 fx | Queue (8) · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/queue
  My queue || 8 open
  OPS-1911 || New colleague needs two screens || P3
08:08:00 fx | OPS-1911 New colleague needs two screens · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1911
  OPS-1911 New colleague needs two screens
  Start date || 2025-11-17
  Desk || 3.12
  Requested by || Maren Falk
08:25:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Accruals
  Audit fee || 18,500
  Energy || 912
08:45:00 xl | =
  =
09:10:00 dp | Fehler beim Drucken
  Der Drucker FOLLOW-ME meldet: Papierstau in Fach 2 (Code 13.20)
  Abbrechen || Wiederholen
09:11:30 xl | =
  =
09:30:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  Jürgen Köhler 09:27
  Bitte Fach 2 nicht benutzen, Techniker kommt um 13 Uhr.
- 10:02:00 xl | =
10:05:00 vs | match.py - billing-tools - Visual Studio Code
  TOLERANCE = Decimal("0.02")
  def match(bank: list[Entry], ledger: list[Entry]) -> Result:
- 10:09:00 ps | Windows PowerShell
- 10:12:00 vs | =
10:16:00 ps | Windows PowerShell
  PS C:\\work\\billing-tools> python match.py --month 2025-10
  matched 1,902 of 1,939
  largest difference: EUR 14.20 (entry 5526)
- 10:20:00 vs | =
10:24:00 fx | =
  =
10:29:00 vs | =
  =
- 10:35:00 ps | Windows PowerShell
- 10:38:00 sl | =
- 10:44:00 vs | =
10:52:00 ps | =
  PS C:\\work\\billing-tools> python match.py --month 2025-10 --fuzzy
  matched 1,938 of 1,939
- 11:08:00 vs | =
11:30:00 vs | =
  TOLERANCE = Decimal("0.05")
- 11:41:00 ol | Inbox - finance.ops@alder.example - Outlook
12:00:00 ol | Inbox - finance.ops@alder.example - Outlook
  Kestrel Paper || Credit note CN-0442 || 11:49
  Moorland Energy || Contract draft || 11:20
12:20:00 om | Credit note CN-0442 - Message (HTML)
  From: Kestrel Paper
  We credit EUR 96.40 for the damaged pallets.
  Reference: INV-20871
12:50:00 fx | Invoice INV-20871 - Example Invoices — Mozilla Firefox
  > invoices.example.net/view/INV-20871
  Invoice INV-20871
  Supplier || Kestrel Paper GmbH
  Total due || EUR 4,318.60
  Status || Paid on 2025-10-28
13:15:00 np | notes-osaka.txt - Notepad
  hotel for the guests: Harbour View, 2 nights
  taxi voucher 55-104
13:20:00 ds | Save As
  File name: || notes-osaka.txt
  Save || Cancel
13:20:40 np | =
  =
13:45:00 fx2 | Harbour View - Example Hotels — Mozilla Firefox
  > hotels.example.org/harbour-view
  Harbour View
  Double room || EUR 142
  Breakfast || EUR 16
13:58:00 fx2 | Checkout - Example Hotels — Mozilla Firefox
  > hotels.example.org/checkout
  Checkout
  Guests || 4
  Your card is charged on arrival.
14:20:00 ps | Windows PowerShell
  PS C:\\work> docker compose up
  Error response from daemon: driver failed programming external connectivity: port is already allocated
14:41:00 vs | compose.yaml - work - Visual Studio Code
  ports:
  - "8463:8463"
15:00:00 vs | =
  - "9463:8463"
15:25:00 vs | =
  =
15:50:00 xl2 | Q4-forecast-v2.xlsx - Excel
  Sheet: Summary
  Net revenue Q3 || 1,279,300
  Net revenue Q4 (plan) || 1,402,700
- 16:15:00 ol | Inbox - finance.ops@alder.example - Outlook
""",
    "2025-10-30": """
08:15:00 ol | Inbox - finance.ops@alder.example - Outlook
  Alder IT || Laptop swap: your slot || 08:03
08:20:00 om | Laptop swap: your slot - Message (HTML)
  From: Alder IT
  Your slot: Thursday 13 November, 11:20, room A-009
  Bring the charger and the old badge.
08:40:00 fx | Leipzig office · Alder Knowledge Base — Mozilla Firefox
  > kb.alder.example/offices/leipzig
  Leipzig office
  Address: Am Speicher 14
  Door code: ask reception
08:55:00 fx | Queue (7) · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/queue
  My queue || 7 open
  OPS-1911 || New colleague needs two screens || P3
09:10:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Bank
  Closing balance || 18,960.12
  Unmatched || 14.20
09:30:00 xl | =
  =
09:50:00 dr | 1 Reminder(s)
  Quarter close review
  Thu 30 Oct 14:30
  Snooze || Dismiss
09:50:30 xl | =
  =
10:15:00 xl | =
  =
10:40:00 xl | =
  =
11:05:00 df | Find and Replace
  Find what: || 18,960.12
  Replace with: || 18,945.92
  Replace All || Close
11:06:00 xl | =
  Sheet: Bank
  Closing balance || 18,945.92
11:30:00 xl | =
  =
11:50:00 ps | Windows PowerShell
  PS C:\\work> .\\export.ps1 -Month 2025-10
  exported 1,939 rows to E:\\out\\oct.csv
12:10:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  Oskar Lind 12:04
  Bank match is done, entry 5526 was a parking fee.
  ! Tomasz Zielinski in #general: cake in the kitchen, room 1.04
13:00:00 fx | PR #91 Retry uploads with backoff · billing-tools — Mozilla Firefox
  > git.alder.example/billing-tools/pull/91
  PR #91 Retry uploads with backoff
  Ready for review
  Checks: 12 of 12 passed
13:10:00 fx | PR #94 Match with tolerance · billing-tools — Mozilla Firefox
  > git.alder.example/billing-tools/pull/94
  PR #94 Match with tolerance
  Requested changes: Jürgen Köhler
  Add a test for negative amounts.
13:30:00 vs | test_match.py - billing-tools - Visual Studio Code
  def test_a_negative_amount_is_matched() -> None:
13:52:00 vs | =
  =
14:15:00 ps | Windows PowerShell
  PS C:\\work\\billing-tools> pytest -q tests/test_match.py
  E   decimal.InvalidOperation: [<class 'decimal.ConversionSyntax'>]
  1 failed, 8 passed in 0.77s
14:28:00 sl | Quarter close review (Huddle) - Alder - Slack
  Quarter close review
  Participants: 7
14:50:00 sl | =
  Quarter close review
  Priya Nair shares a screen
15:16:00 np | todo.txt - Notepad
  accrual for parking 14.20
  ask audit for the final letter
15:40:00 fx | World and weather - Example News — Mozilla Firefox
  > news.example.com/today
  First frost expected
  Museum night on 8 November
16:05:00 ed | Timesheet - HR Portal - Microsoft\u200b Edge
  > https://portal.alder.example/timesheet/2025-44/thu
  Zeiterfassung KW 44
  Donnerstag || 7,5 h
  Überstunden: 8,5 h
- 16:30:00 ol | Inbox - finance.ops@alder.example - Outlook
20:10:00 fx | Departures Leipzig - Example Rail — Mozilla Firefox
  > rail.example.com/departures/leipzig
  Departures Leipzig
  07:42 || RE 4471 || platform 9
  08:42 || RE 4473 || platform 11
20:22:00 fx | Dumpling recipe - Example Kitchen — Mozilla Firefox
  > kitchen.example.org/dumplings
  Dumpling recipe
  300 g flour, 160 ml water
  Rest the dough for 45 minutes.
- 20:31:00 ed | Timesheet - HR Portal - Microsoft\u200b Edge
""",
    "2025-10-31": """
07:50:00 sl | general (Channel) - Alder - Slack
  # general
  Maren Falk 07:44
  おはようございます。大阪の資料は共有フォルダにあります。
  Priya Nair 07:47
  Freeze from 17:00 today, last upload 16:30.
08:02:00 fx | Queue (6) · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/queue
  My queue || 6 open
  OPS-1915 || Keyboard without ß || P4
08:10:00 fx | OPS-1915 Keyboard without ß · Helpdesk — Mozilla Firefox
  > helpdesk.alder.example/ticket/OPS-1915
  OPS-1915 Keyboard without ß
  Status || New
  Requested model || DE-105-B
08:25:00 fx | storm warning coast ferry - Findling — Mozilla Firefox
  > find.example.org/search?q=storm+warning+coast+ferry
  storm warning coast ferry
  About 94,000 results
08:28:00 fx | Ferry timetable - Example Ferries — Mozilla Firefox
  > ferries.example.com/timetable
  Ferry timetable
  Line 3 || cancelled
  Line 5 || 10:15 and 16:40
08:45:00 xl | Q4-forecast.xlsx - Excel
  Sheet: Summary
  Net revenue Q3 || 1,284,900
  Net revenue Q4 (plan) || 1,405,100
09:05:00 xl | =
  =
09:28:00 xl | =
  =
09:45:00 ps | Windows PowerShell
  PS C:\\work> ledgersync push --month 2025-10
  push failed with exit code 12
09:46:00 dl | LedgerSync - Sync failed
  Upload of 2025-10.zip stopped at 83 %. Reason: token expired (E4107)
  Retry || Close
09:47:00 dl | =
  =
09:49:20 ps | =
  PS C:\\work> ledgersync login
  signed in as finance-ops, token valid until 2026-01-29
10:05:00 ps | =
  PS C:\\work> ledgersync push --month 2025-10
  uploaded 2025-10.zip in 00:03:41, receipt LS-7F20-9914
10:30:00 fx2 | CHG0032118 Replace core switch · Changes — Mozilla Firefox
  > helpdesk.alder.example/change/CHG0032118
  CHG0032118 Replace core switch
  Window || Sun 9 Nov 06:00 - 09:00
  Approver || Oskar Lind
  Rollback || 45 minutes
  ~sl Lena Vogt 10:21
  ~sl switch rollback takes 90 minutes if we are unlucky
10:50:00 fx2 | CHG0032121 New certificates · Changes — Mozilla Firefox
  > helpdesk.alder.example/change/CHG0032121
  CHG0032121 New certificates
  Window || Mon 10 Nov 20:00 - 20:30
  Approver || Maren Falk
11:15:00 vs | match.py - billing-tools - Visual Studio Code
  def sign(amount: Decimal) -> int:
11:40:00 vs | =
  =
12:02:00 vs | =
  =
12:30:00 ps | Windows PowerShell
  PS C:\\work\\billing-tools> pytest -q tests/test_match.py
  9 passed in 0.80s
13:15:00 fx | PR #94 Match with tolerance · billing-tools — Mozilla Firefox
  > git.alder.example/billing-tools/pull/94
  PR #94 Match with tolerance
  Approved by Jürgen Köhler
  Squash and merge
13:40:00 sl | ops-desk (Channel) - Alder - Slack
  # ops-desk
  Oskar Lind 13:36
  Parcel for finance at reception, sender Kestrel.
14:05:00 np | handover.txt - Notepad
  handover for next week
  certificates: CHG0032121
  spare key is with reception
14:30:00 np | =
  =
14:55:00 np | =
  =
15:20:00 om | Your parking permit - Message (HTML)
  From: Facilities
  Permit P-2291 is valid from 16 November.
  Level C, bay 118
15:45:00 xl2 | Q4-forecast-v2.xlsx - Excel
  Sheet: Summary
  Net revenue Q3 || 1,279,300
  Net revenue Q4 (plan) || 1,410,000
16:10:00 fx | World and weather - Example News — Mozilla Firefox
  > news.example.com/today
  Storm reaches the coast
  Ferries stop at noon
16:25:00 ed | Timesheet - HR Portal - Microsoft\u200b Edge
  > https://portal.alder.example/timesheet/2025-44/fri
  Zeiterfassung KW 44
  Freitag || 8,0 h
  Überstunden: 9,0 h
17:05:00 ol | Inbox - finance.ops@alder.example - Outlook
  LedgerSync || Receipt LS-7F20-9914 || 10:09
  Priya Nair || Good work, see you Monday || 16:58
- 17:20:00 sl | =
""",
}
