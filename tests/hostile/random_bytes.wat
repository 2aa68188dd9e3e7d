;; Random bytes after a valid header.
;; expect: rejected "cannot load the component"
(component binary "\00asm\0d\00\01\00"
  "\1f\9d\e3\07\5c\aa\01\f2\88\3b\60\d4\19\c7\72\0e\b5\46\fd\93\2a\81\6f\d0\34\ee\5b\17\a9\c2\78\05")
